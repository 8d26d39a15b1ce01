// The feed: news as it comes, from whichever broker is alive. One module, no build step.
//
// How nothing is lost and nothing shows twice: the stream is read with `ack=client`, so a broker takes a message for
// delivered only when this page, having shown it, says so. A connection that ends is made again, at the same or another
// broker, with the last event id; what comes twice is known by its message id. History (what was acknowledged before) is
// asked for once and is only shown; what the stream then brings of it is what had not been read: "new since".

const page = JSON.parse(document.getElementById("page").textContent);
const user = page.username;

const SILENT_MS = 15_000;      // three keepalives missing: the connection is dead
const HOME_EVERY_MS = 5_000;   // how often a page that moved looks whether its own broker is back
const ACK_EVERY_MS = 500;
const TOPICS_EVERY_MS = 30_000;
const RETRY_MS = [200, 500, 1_000, 2_000, 5_000];
const SHOWN_MOST = 1_000;      // messages kept in the page
const HISTORY = "24h";
const HISTORY_PAGES = 5;       // of 200

const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// -- brokers ---------------------------------------------------------------------------------------------------------

const home = location.host;
let brokers = [home, ...page.brokers.filter((address) => address !== page.address && address !== home)];
let current = home;             // where the stream is, or is tried next

const url = (address, path, fields = {}) => `${location.protocol}//${address}${path}?${new URLSearchParams(fields)}`;

/** Ask a broker. Throws an Error whose message is fit to show; `final` when no other broker would answer otherwise. */
async function ask(address, path, fields, method = "GET") {
  const body = method === "POST" ? new URLSearchParams(fields) : undefined;
  const asked = method === "POST" ? url(address, path) : url(address, path, fields);
  const answer = await fetch(asked, { method, body, signal: AbortSignal.timeout(5_000) });
  const said = await answer.json();
  if (!answer.ok) {
    const error = new Error(said.detail ?? `status ${answer.status}`);
    error.final = answer.status < 500 && answer.status !== 429;
    error.code = said.code;
    throw error;
  }
  return said;
}

/** Ask the broker that serves the stream, then the others. */
async function askAny(path, fields, method) {
  let last;
  for (const address of [current, ...brokers.filter((other) => other !== current)]) {
    try {
      return await ask(address, path, fields, method);
    } catch (error) {
      if (error.final) throw error;
      last = error;
    }
  }
  throw new Error(last?.code ? last.message : "no broker can be reached; try again in a moment");
}

async function learnBrokers(address) {
  const rows = await ask(address, "/list_replicas", {});
  const own = rows.find((row) => row.self);
  const others = rows.filter((row) => !row.self).map((row) => row.ip);
  const known = [address, ...others].filter((other) => other !== home && other !== page.address);
  brokers = [home, ...new Set(known)];
  return own;
}

// -- state of the connection -----------------------------------------------------------------------------------------

let silentSince = null;

function say(kind, text) {
  const pill = $("state");
  if (pill.textContent !== text) pill.textContent = text;
  pill.className = kind === "live" ? "state" : `state ${kind}`;
}

function sayLive(broker) {
  silentSince = null;
  if (current === home) say("live", `live at broker ${broker}`);
  else say("moved", `moved to broker ${broker}`);
}

function saySilent() {
  silentSince ??= new Date();
  say("silent", `silent since ${clock(silentSince)}, trying again`);
}

// -- the stream ------------------------------------------------------------------------------------------------------

let lastEventId = "";

/** Parse Server-Sent Events: calls `take({name, id, data})` for each, and `comment(text)`. */
async function readEvents(body, alive, take, comment) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", name = "", id = lastEventId, data = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    alive();
    const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (data.length) take({ name, id, data: data.join("\n") });
        name = ""; data = [];
        continue;
      }
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const text = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "") comment(text);
      else if (field === "data") data.push(text);
      else if (field === "event") name = text;
      else if (field === "id") id = text;
    }
  }
}

/** One connection to one broker. Resolves with why it ended: "moved", "refused", "ended". `opened()` at the greeting. */
async function stream(address, signal, opened) {
  const fields = { username: user, format: "json", ack: "client" };
  if (lastEventId) fields.last_event_id = lastEventId;
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENT_MS);
  const alive = () => { clearTimeout(timer); timer = setTimeout(() => silence.abort(), SILENT_MS); };
  try {
    const options = { headers: { Accept: "text/event-stream" }, cache: "no-store", signal: AbortSignal.any([signal, silence.signal]) };
    const answer = await fetch(url(address, "/stream", fields), options);
    if (answer.status === 403 || answer.status === 401) return "refused";
    if (!answer.ok) return "ended";
    let why = "ended";
    await readEvents(answer.body, alive, (event) => {
      if (signal.aborted) return;
      if (event.id) lastEventId = event.id;
      if (event.name === "open") opened(JSON.parse(event.data));
      else if (event.name === "gap") showGap(JSON.parse(event.data), event.id);
      else if (event.name === "moved") why = "moved";
      else showNew(JSON.parse(event.data), event.id);
    }, () => {});
    return why;
  } finally {
    clearTimeout(timer);
  }
}

let connection = new AbortController();

/** Keep a stream open, for ever, somewhere. */
async function keepStreaming() {
  for (let tries = 0; ; ) {
    let wasOpen = false;
    const address = current;
    connection = new AbortController();
    try {
      const why = await stream(address, connection.signal, (greeting) => {
        wasOpen = true; tries = 0;
        $("empty").hidden = true;
        sayLive(greeting.broker ?? "");
        learnBrokers(address).catch(() => {});
      });
      if (why === "refused") { await waitForSubscription(); continue; }
    } catch { /* a connection that breaks is an ordinary thing here */ }
    if (connection.signal.aborted) continue;   // somebody wants it elsewhere: `current` says where
    if (wasOpen && tries === 0) { tries = 1; if (!(await isServing(address))) current = next(address); continue; }
    saySilent();
    current = next(address);
    await sleep(RETRY_MS[Math.min(tries++, RETRY_MS.length - 1)] * (0.75 + Math.random() / 2));
  }
}

const next = (address) => brokers[(brokers.indexOf(address) + 1) % brokers.length];

async function isServing(address) {
  try { return (await learnBrokers(address))?.state === "up"; } catch { return false; }
}

/** A page that moved goes home when its own broker is back and has caught up. */
async function comeHome() {
  for (;;) {
    await sleep(HOME_EVERY_MS);
    if (current !== home && (await isServing(home))) goTo(home);
  }
}

function goTo(address) {
  current = address;
  connection.abort();
}

let subscribed = () => {};

async function waitForSubscription() {
  say("live", "no topics yet");
  $("empty").textContent = `${user} is not registered for any topic yet. Subscribe to one, and its news comes in here.`;
  $("empty").hidden = false;
  await Promise.race([new Promise((done) => { subscribed = done; }), sleep(HOME_EVERY_MS)]);
}

// -- what is shown ---------------------------------------------------------------------------------------------------

const shown = new Map();        // message id -> article
let chosen = "";                // topic that is looked at, "" for all
let lastDay = "";
let divided = false;            // "new since" has been drawn, or was not needed

const clock = (when) => when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });

function day(when) {
  const today = new Date();
  const yesterday = new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1);
  if (when.toDateString() === today.toDateString()) return "Today";
  if (when.toDateString() === yesterday.toDateString()) return "Yesterday";
  return when.toLocaleDateString([], { weekday: "long", day: "numeric", month: "long", year: "numeric" });
}

function article(message) {
  const when = new Date(message.time);
  const made = element("article", message.priority >= 4 ? "high" : "");
  made.dataset.topic = message.topic;
  made.dataset.id = message.id;
  const time = element("time", "", clock(when));
  time.dateTime = message.time;
  time.title = when.toLocaleString();
  const body = element("div");
  const head = element("div", "topic", message.topic);
  const beside = [message.publisher, message.priority >= 4 ? "high" : ""].filter(Boolean);
  if (beside.length) head.append(" ", element("i", "", `· ${beside.join(" · ")}`));
  body.append(head);
  if (message.title) body.append(element("h3", "", message.title));
  if (message.data) body.append(element("p", "", message.data));
  if (message.click && /^https?:\/\//i.test(message.click)) {
    const link = element("a", "", message.click);
    link.href = message.click;
    link.rel = "noopener noreferrer";
    link.target = "_blank";
    body.append(link);
  }
  for (const tag of message.tags ?? []) body.append(element("span", "tag", tag));
  made.append(time, body);
  made.hidden = chosen !== "" && chosen !== message.topic;
  return made;
}

function atEnd() {
  return window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 80;
}

function append(...made) {
  const follow = atEnd();
  $("feed").append(...made);
  while (shown.size > SHOWN_MOST) {
    const [id, oldest] = shown.entries().next().value;
    oldest.remove();
    shown.delete(id);
    if (shown.size === SHOWN_MOST) remembered(id);
  }
  if (follow) window.scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" });
  else $("jump").hidden = false;
}

const left = new Set();         // ids that were shown and have left the page: still not to be shown twice
function remembered(id) {
  left.add(id);
  if (left.size > 20 * SHOWN_MOST) left.delete(left.values().next().value);
}

function show(message) {
  const when = new Date(message.time);
  const made = article(message);
  const name = day(when);
  if (name !== lastDay) { append(element("div", "day", name)); lastDay = name; }
  shown.set(message.id, made);
  append(made);
  count(message.topic);
}

/** A message of the stream: shown unless it is there, and acknowledged either way. */
function showNew(message, eventId) {
  if (!left.has(message.id)) {
    const there = shown.get(message.id);
    divide(there);
    if (!there) show(message);
  }
  toAcknowledge = eventId;
}

/** "new since", once, between what was read before this page was opened and the first that was not. */
function divide(there) {
  if (divided) return;
  divided = true;
  const articles = [...shown.values()];
  const at = there ? articles.indexOf(there) : articles.length;
  if (at === 0) return;
  const before = articles[at - 1];
  const line = element("div", "news", `new since ${before.querySelector("time").textContent}`);
  if (there) there.before(line); else append(line);
}

function showGap({ topic, dropped }, eventId) {
  const what = dropped === 1 ? "1 older message" : `${dropped} older messages`;
  append(element("p", "gap", `${what} of ${topic} ${dropped === 1 ? "was" : "were"} removed by retention before you read ${dropped === 1 ? "it" : "them"}.`));
  toAcknowledge = eventId;
}

async function showHistory() {
  let since = HISTORY;
  for (let at = 0; at < HISTORY_PAGES; at++) {
    const { messages, more } = await askAny("/messages", { username: user, since, limit: 200 });
    for (const message of messages) {
      if (!shown.has(message.id)) show(message);
    }
    if (!more || !messages.length) return;
    since = messages.at(-1).event_id;
  }
}

// -- acknowledging: what was shown to somebody who can see it --------------------------------------------------------

let toAcknowledge = "";

async function acknowledge() {
  for (let told = ""; ; await sleep(ACK_EVERY_MS)) {
    const id = toAcknowledge;
    if (!id || id === told || document.visibilityState !== "visible") continue;
    try {
      await ask(current, "/ack", { username: user, id }, "POST");
      told = id;
    } catch { /* the next one says it too, and Last-Event-ID does */ }
  }
}

// -- topics ----------------------------------------------------------------------------------------------------------

const counts = new Map();

function count(topic) {
  counts.set(topic, (counts.get(topic) ?? 0) + 1);
  for (const button of $("mine").querySelectorAll("button")) {
    const of = button.dataset.topic;
    const n = of ? counts.get(of) ?? 0 : shown.size;
    button.querySelector(".n")?.remove();
    if (n && (of === "" || counts.has(of))) button.append(element("span", "n", String(n)));
  }
}

function topicButton(topic, label, note) {
  const button = element("button");
  button.type = "button";
  button.dataset.topic = topic;
  button.append(element("span", "", label));
  if (note) button.append(element("span", "n", note));
  return button;
}

function choose(topic) {
  chosen = topic;
  for (const button of $("mine").querySelectorAll("button")) button.setAttribute("aria-current", String(button.dataset.topic === topic));
  for (const made of shown.values()) made.hidden = topic !== "" && made.dataset.topic !== topic;
  if (topic) $("publish").elements.topic.value = topic;
}

async function loadTopics() {
  const all = await askAny("/topics", {});
  let mine = [];
  try { mine = await askAny("/subscriptions", { username: user }); } catch (error) { if (!error.final) throw error; }
  const patterns = mine.map((row) => row.topic);
  const matches = (pattern, topic) => {
    const [want, have] = [pattern.split("."), topic.split(".")];
    if (want.at(-1) === ">") { want.pop(); if (have.length <= want.length) return false; have.length = want.length; }
    return want.length === have.length && want.every((word, i) => word === "*" || word === have[i]);
  };
  const exact = patterns.filter((pattern) => !/[*>]/.test(pattern));
  const listed = [...new Set([...exact, ...all.map((row) => row.topic).filter((topic) => patterns.some((p) => matches(p, topic)))])].sort();
  const more = all.map((row) => row.topic).filter((topic) => !listed.includes(topic));
  fill($("mine"), [topicButton("", "All"), ...listed.map((topic) => topicButton(topic, topic))]);
  fill($("more"), more.slice(0, 50).map((topic) => topicButton(topic, topic, "Subscribe")));
  document.querySelector("h2.more").hidden = !more.length;
  fill($("topics"), all.map((row) => Object.assign(element("option"), { value: row.topic })), (option) => option);
  choose(listed.includes(chosen) ? chosen : "");
  for (const topic of [...counts.keys()].slice(0, 1)) { counts.set(topic, counts.get(topic) - 1); count(topic); }
  const write = $("publish").elements.topic;
  if (!write.value && listed.length) write.value = listed[0];
}

function fill(list, made, wrap = (one) => { const item = element("li"); item.append(one); return item; }) {
  list.replaceChildren(...made.map(wrap));
}

async function subscribe(topic) {
  try {
    const { message } = await askAny("/subscribe", { username: user, topic }, "POST");
    tell(message);
    subscribed();
    await loadTopics();
  } catch (error) { tell(error.message, true); }
}

// -- publishing ------------------------------------------------------------------------------------------------------

function tell(text, bad = false) {
  $("said").textContent = text;
  $("said").classList.toggle("bad", bad);
}

/** A key makes the retry at another broker safe. `crypto.randomUUID` wants https. */
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

async function publish(event) {
  event.preventDefault();
  const form = event.target, { topic, data } = form.elements, button = form.querySelector("button");
  button.disabled = true;
  try {
    const { copies } = await askAny("/publish", { topic: topic.value.trim(), data: data.value, key: newKey() }, "POST");
    tell(`Stored on ${copies} broker${copies === 1 ? "" : "s"}, ${new Date().toLocaleTimeString([], { hour12: false })}`);
    data.value = "";
    if (!document.querySelector(`#topics option[value="${CSS.escape(topic.value.trim())}"]`)) loadTopics().catch(() => {});
  } catch (error) {
    tell(error.message, true);
  } finally {
    button.disabled = false;
    data.focus();
  }
}

// -- start -----------------------------------------------------------------------------------------------------------

async function start() {
  $("publish").addEventListener("submit", publish);
  $("publish").elements.topic.addEventListener("input", (event) => { $("publish").elements.data.placeholder = `Write to ${event.target.value || "a topic"}`; });
  $("subscribe").addEventListener("submit", (event) => { event.preventDefault(); subscribe(event.target.elements.topic.value.trim()); event.target.reset(); });
  $("mine").addEventListener("click", (event) => { const b = event.target.closest("button"); if (b) choose(b.dataset.topic); });
  $("more").addEventListener("click", (event) => { const b = event.target.closest("button"); if (b) subscribe(b.dataset.topic); });
  $("jump").addEventListener("click", () => window.scrollTo({ top: document.documentElement.scrollHeight }));
  window.addEventListener("scroll", () => { if (atEnd()) $("jump").hidden = true; }, { passive: true });
  window.addEventListener("online", () => goTo(current));
  try { await showHistory(); } catch { /* the stream brings what is undelivered anyway */ }
  loadTopics().catch(() => {});
  setInterval(() => { if (document.visibilityState === "visible") loadTopics().catch(() => {}); }, TOPICS_EVERY_MS);
  keepStreaming();
  comeHome();
  acknowledge();
}

if (user) start();
