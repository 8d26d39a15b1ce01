// The cluster page: who is there and how they are, what is to come, what is measured, what happened; brokers added and removed.

import { ask, page, send, sentence, tell, wireForm } from "./access.js";
import { chart } from "./charts.js";
import { $, button, clock, element, plural, visible } from "./dom.js";
import { trailLine } from "./trail.js";
import { bytes, diskWords, grown, inWords, last, loadWords, mergeEvents, nextDay, percent, short } from "./trends.js";

const LOOK_MS = 2_500, FEW = 12;
const STATES = { up: "up", "catching-up": "catching up", down: "down", "peer-auth-failed": "has another secret", "other-cluster": "is of another cluster", "id-in-use": "has an id that is in use" };

let hour = null, day = null, outlook = null, events = [], trail = [], rows = [], ready = {}, showAll = false, silentSince = null, turn = 0;

// -- looking -----------------------------------------------------------------------------------------------------------

async function look() {
  try {
    const asked = [send("GET", "/list_replicas"), condition()];
    if (turn % 2 === 0) asked.push(send("GET", "/cluster/trends", hour?.times.length ? { after: String(hour.times.at(-1)) } : {}));
    if (turn % 12 === 0 && page.auth === "required") asked.push(send("GET", "/audit", { limit: "50" }));
    const [brokers, said, ...more] = await Promise.all(asked);
    rows = brokers;
    ready = said;
    for (const one of more) Array.isArray(one) ? takeTrail(one) : takeTrends(one);
    if (turn && turn % 24 === 0) day = (await send("GET", "/cluster/trends")).day;
    turn++;
    silentSince = null;
    show();
  } catch (error) {
    if (error.code === "unauthenticated") return;
    silentSince ??= new Date();
    state("silent", `no answer since ${clock(silentSince)}, trying again`);
  }
}

/** What the broker says of itself, whether it is ready or not. */
async function condition() {
  const answer = await fetch("/readyz", { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(LOOK_MS * 4) });
  return answer.json();
}

function takeTrends(said) {
  hour = grown(hour, said.recent);
  day = said.day ?? day;
  ({ outlook, events } = said);
}

function takeTrail(said) {
  trail = said.filter((row) => row.what !== "published").map((row) => ({ time: Date.parse(row.time), text: trailLine(row), bad: row.what === "sign-in-failed" }));
}

// -- who is there ------------------------------------------------------------------------------------------------------

function state(kind, text) {
  $("state").className = `state ${kind}`;
  if ($("state").textContent !== text) $("state").textContent = text;
}

function show() {
  state("live", `live from broker ${page.broker}`);
  const there = rows.filter((row) => row.state === "up").length, copies = ready.copies ?? 0;
  $("lead").textContent = `${there === rows.length ? plural(rows.length, "broker") : `${there} of ${plural(rows.length, "broker")}`} up. ${copies ? `A message published now is on ${plural(copies, "disk")} before the answer.` : "No message is taken here now."}`;
  showReasons();
  showBrokers();
  if (outlook) showOutlook();
  if (hour) showCharts();
  showEvents();
}

function showReasons() {
  const wrong = [...(ready.ready === false ? [ready.detail] : []), ...(ready.degraded ?? [])], soon = ready.warnings ?? [];
  const texts = [...wrong.map((text) => ["wrong", text]), ...soon.map((text) => ["", text])];
  const key = texts.join("\n");
  if ($("reasons").dataset.key === key) return;
  $("reasons").dataset.key = key;
  $("reasons").replaceChildren(...texts.map(([kind, text]) => element("li", kind, sentence(text))));
}

function showBrokers() {
  const body = $("brokers").tBodies[0], there = new Map([...body.rows].map((row) => [row.dataset.broker, row]));
  const shown = rows.map((row) => fill(there.get(row.ip) ?? newRow(row), row));
  if (shown.length !== body.rows.length || shown.some((row, at) => row !== body.rows[at])) body.replaceChildren(...shown);
}

function newRow(broker) {
  const row = element("tr"), name = element("th");
  name.scope = "row";
  row.dataset.broker = broker.ip;
  row.append(name, ...["State", "Lacks", "Streams", "Last heard", ""].map((title) => Object.assign(element("td"), title ? {} : {})));
  ["State", "Lacks", "Streams", "Last heard", ""].forEach((title, at) => { row.cells[at + 1].dataset.name = title; });
  return row;
}

function fill(row, broker) {
  const [name, how, lacks, streams, heard, act] = row.cells, suspicious = (broker.phi ?? 0) >= 8;
  const odd = suspicious && broker.state === "up";
  const key = JSON.stringify([broker.id, broker.is_primary, broker.state, broker.detail, broker.phi, rows.length]);
  if (row.dataset.key !== key) {
    row.dataset.key = key;
    name.replaceChildren(`${broker.id || "not met yet"}${broker.is_primary ? ", primary" : ""}`, broker.self ? element("span", "soft", `${broker.ip}, this one`) : away(broker.ip));
    how.replaceChildren(element("span", `dot ${broker.state}${odd ? " odd" : ""}`, STATES[broker.state] ?? broker.state));
    const why = broker.detail || (broker.down_since ? `since ${clock(new Date(broker.down_since))}` : "") || (odd ? `pauses: phi ${short(broker.phi)}` : "");
    if (why) how.append(element("span", "soft", why));
    act.replaceChildren();
    if (rows.length > 1) {
      const off = button("danger remove", "Remove …", () => remove(broker));
      off.setAttribute("aria-label", `Remove broker ${broker.id || broker.ip}`);
      act.append(off);
    }
  }
  lacks.textContent = broker.lag ? plural(broker.lag, "operation") : broker.state === "up" ? "nothing" : "–";
  streams.textContent = broker.streams === undefined ? "–" : `${short(broker.streams)} of ${short(broker.streams_limit)}`;
  heard.textContent = broker.self ? "–" : broker.seconds === undefined ? "never" : broker.seconds < 1 ? "just now" : `${short(broker.seconds)} s ago`;
  return row;
}

function away(address) {
  const made = element("a", "", address);
  made.href = `${address.includes("://") ? address : `http://${address}`}/cluster`;
  return made;
}

async function remove(broker) {
  const name = broker.id ? `broker ${broker.id} at ${broker.ip}` : broker.ip, rest = rows.length - 1;
  const question = `Remove ${name}? It stops serving clients once another broker holds all that it holds, and its copies count no more: ${plural(rest, "broker")} ${rest === 1 ? "stays" : "stay"}. Its disk keeps what is on it.`;
  if (!(await ask(question, `Remove ${broker.id || broker.ip}`))) return;
  try {
    const { message } = await send("POST", "/remove_replica", { broker_ip: broker.id || broker.ip });
    tell($("said"), `${message}.`);
    $("who").focus();
    await look();
  } catch (error) { tell($("said"), error.message, true); }
}

wireForm($("add"), async ({ address }) => {
  const { message } = await send("POST", "/add_replica", { broker_ip: address.value.trim() });
  address.value = "";
  look();
  return `${message}.`;
});

// -- what is to come ---------------------------------------------------------------------------------------------------

let ahead = null;

function showOutlook() {
  const lines = [
    ["Disk", `the disk of this broker ${diskWords(outlook.disk_full_seconds, Date.now())}.`],
    ["Messages", loadWords(outlook.publish, "a second", "As they come now, this broker takes about")],
    ["Streams", loadWords(outlook.streams, "streams", "There may be")],
    ["Topics", outlook.unusual.length ? `${outlook.unusual.map((one) => `${one.topic} (${one.count}, usually ${short(one.usual)})`).join(", ")}: far from what is usual.` : outlook.topics ? `none of ${plural(outlook.topics, "topic")} is unusually busy or quiet.` : "not known before an hour with messages is over."],
  ];
  const key = lines.join("\n");
  if ($("outlook").dataset.key !== key) {
    $("outlook").dataset.key = key;
    $("outlook").replaceChildren(...lines.map(([title, text]) => { const line = element("li"); line.append(element("b", "", `${title}: `), text); return line; }));
  }
  const data = nextDay(outlook.hours, outlook.publish.hours, Date.now());
  $("next").hidden = !outlook.publish.hours.length;
  if ($("next").hidden) return;
  ahead ??= figure($("next"), "large", { title: "Messages a second, the busiest minute of each hour", lines: [["came", "accent"], ["expected", "accent", true]], keys: ["came", "expected, nine times in ten within the band"], format: short, band: true });
  ahead.set(data, inWords("Messages a second in the busiest minute of each hour, expected in the next day", outlook.publish.hours.map((band) => band.middle), short));
}

// -- charts ------------------------------------------------------------------------------------------------------------

const CHARTS = [
  { title: "Messages a second", columns: ["messages", "deliveries"], lines: [["published", "accent"], ["delivered", "live"]], format: short },
  { title: "Commit", unit: "written and synced", columns: ["commit_ms"], lines: [["commit", "accent"]], format: (value) => (value === null ? "–" : `${short(value)} ms`) },
  { title: "Streams", unit: "open here", columns: ["streams"], lines: [["streams", "accent"]], format: short },
  { title: "Processor", unit: "of one, in use", columns: ["processor"], lines: [["processor", "accent"]], format: percent },
  { title: "Ops file", unit: "on disk", columns: ["ops_file"], lines: [["ops file", "accent"]], format: bytes },
  { title: "Free", unit: "on the disk of the ops file", columns: ["disk_free"], lines: [["free", "accent"]], format: bytes },
];
let figures = null;

/** A figure with a caption that says what the cursor is at, or the newest value. */
function figure(place, size, { title, unit = "", lines, keys = [], format, band = false, sync }) {
  const made = element("figure"), caption = element("figcaption"), plot = element("div", `plot ${size}`), value = element("span", "value");
  caption.append(element("b", "", title));
  if (unit) caption.append(element("span", "soft", unit));
  const says = element("span", "keys");
  if (lines.length > 1) {
    says.append(...lines.map(([label], at) => element("span", `key${band && at ? " band" : at ? " second" : ""}`, keys[at] ?? label)));
    caption.append(says);
  }
  caption.append(value);
  plot.setAttribute("role", "img");
  made.append(caption, plot);
  place.append(made);
  let data = [[]], at = null;
  const write = () => {
    const shown = at === null ? data.slice(1, 1 + lines.length).map(last) : data.slice(1, 1 + lines.length).map((column) => column[at]);
    const known = band ? shown.filter((one) => one !== null) : shown;
    const time = at === null || !data[0][at] ? "" : ` at ${clock(new Date(data[0][at] * 1000))}`;
    value.textContent = band && at === null ? "" : `${known.map((one) => format(one)).join(" · ")}${time}`;
  };
  const drawn = chart(plot, { lines, format, band, sync, say: (index) => { at = index; write(); } });
  return { set(next, words) { data = next; drawn.setData(next); plot.setAttribute("aria-label", words); write(); } };
}

function showCharts() {
  figures ??= CHARTS.map((one) => figure($("charts"), "small", { ...one, sync: "cluster" }));
  const isDay = document.querySelector('input[name="span"]:checked').value === "day", series = isDay ? day : hour;
  if (!series) return;
  CHARTS.forEach((one, at) => {
    const data = [series.times.map((time) => time / 1000), ...one.columns.map((name) => series.columns[name] ?? [])];
    figures[at].set(data, inWords(`${one.title}${one.unit ? `, ${one.unit}` : ""}`, data[1], one.format));
  });
}

for (const span of document.querySelectorAll('input[name="span"]')) span.addEventListener("change", () => hour && showCharts());

// -- what happened -----------------------------------------------------------------------------------------------------

function showEvents() {
  const merged = mergeEvents(events, trail), shown = showAll ? merged : merged.slice(0, FEW), key = `${merged.length} ${merged[0]?.time} ${showAll}`;
  if ($("events").dataset.key === key) return;
  $("events").dataset.key = key;
  $("events").replaceChildren(...shown.map(({ time, text, bad }) => {
    const line = element("li"), at = element("time", "", new Date(time).toLocaleString(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" }));
    at.dateTime = new Date(time).toISOString();
    line.append(at, element("span", bad ? "bad" : "", sentence(text)));
    return line;
  }));
  if (!merged.length) $("events").append(element("li", "soft", "Nothing yet."));
  $("older").hidden = showAll || merged.length <= FEW;
}

$("older").addEventListener("click", () => { showAll = true; showEvents(); $("happened").scrollIntoView(); });

async function turns() {
  if (visible() || !hour) await look();
  setTimeout(turns, LOOK_MS);
}
document.addEventListener("visibilitychange", () => { if (visible()) look(); });
turns();
