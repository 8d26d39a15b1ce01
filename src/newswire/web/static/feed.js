// The feed: news as it comes, from whichever broker is alive. One module, no build step.
//
// How nothing is lost and nothing shows twice. The stream is read with `ack=client`: a broker takes a message for delivered
// only when this page, having shown it in a tab that is visible, says so. A connection that ends is made again, at the same
// broker or another, from the last event id that may be acknowledged (naming a later one would acknowledge it); what comes
// twice is known by its message id. History (/messages) is only shown, and moves nothing.
//
// What comes in waits in a queue until the next frame, then goes into memory (`news`, the newest 20,000) and, of that, the
// newest that pass the filter into the page (`inPage`). So ten thousand messages at once cost a few hundred elements.
//
// What is *fresh* came while nobody could see it: before the page was open, in a hidden tab, below the fold. Fresh messages
// are counted beside their topics, and "new since" stands before the first of them.

const page = JSON.parse(document.getElementById("page").textContent);
const user = page.username;

const ASK_MS = 3_000;            // one question, while another broker can be asked
const ASK_LAST_MS = 8_000;       // and where there is none left
const CONNECT_MS = 5_000;        // to the first byte of a stream
const SILENT_MS = 15_000;        // three keepalives are missing: the connection is dead
const GRACE_MS = 1_500;          // a move to another broker takes less: no alarm for it
const HOME_MS = 5_000;           // how often a page that moved looks whether its own broker is back,
const HOME_LATER_MS = 20_000;    // and after two minutes of that
const BACK_OFF_MS = [300, 1_000, 2_000, 5_000];
const ACK_MS = 500;              // between two acknowledgements
const TOPICS_MS = 30_000;
const READ_MS = 60_000;          // fresh messages that were looked at for so long are not fresh any more
const HEARD_MS = 3_000;          // between two announcements to a screen reader
const BATCH = 50;                // messages in one frame: more are coming, so rather all at once than each on its own
const BATCH_MS = 250;
const IN_PAGE = 500;             // messages in the page, while its end is in view
const IN_PAGE_MOST = 1_500;      // and when somebody reads further up
const IN_MEMORY = 20_000;
const IN_MEMORY_CHARS = 32_000_000;
const IDS = 200_000;             // message ids remembered: more than a broker sends again
const TEXT_CHARS = 1_500;        // of a text, before "Show all"
const LISTED = 200;              // topics in a list
const HISTORY = ["2d", "12h", "2h", "20m", "3m"];   // the longest that is not too much,
const HISTORY_MORE = ["7d", "30d"];                 // or longer, while it is little
const HISTORY_LITTLE = 20;
const HISTORY_PAGES = 20;        // of 1,000, where the last minutes held hundreds

const $ = (id) => document.getElementById(id);
const visible = () => document.visibilityState === "visible";
const plural = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function button(className, text, pressed) {
  const made = element("button", className, text);
  made.type = "button";
  if (pressed) made.addEventListener("click", pressed);
  return made;
}

// -- waiting -----------------------------------------------------------------------------------------------------------

const waiting = new Set();

/** Wait, or until `hurry`. */
function pause(ms) {
  return new Promise((done) => {
    const end = () => { clearTimeout(timer); waiting.delete(end); done(); };
    const timer = setTimeout(end, Math.max(0, ms));
    waiting.add(end);
  });
}

/** The network or the person is back: whoever waits for a next try tries now. */
function hurry() {
  due.clear();
  for (const end of [...waiting]) end();
}

// -- Server-Sent Events (HTML standard, 9.2) ---------------------------------------------------------------------------

/** Takes text as it comes, in pieces cut anywhere; gives the events and comments that are complete. */
export class EventReader {
  lastEventId = ""; retry = null;
  #rest = ""; #skipNewline = false; #name = ""; #data = [];

  feed(text) {
    if (this.#skipNewline && text.startsWith("\n")) text = text.slice(1);
    else if (text === "") return [];
    this.#skipNewline = text === "" ? false : text.endsWith("\r");   // perhaps half of a CRLF
    const lines = text.split(/\r\n|\n|\r/);
    lines[0] = this.#rest + lines[0];
    this.#rest = lines.pop();
    return lines.map((line) => this.#take(line)).filter(Boolean);
  }

  #take(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (field === "") return { comment: value };
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#name = value;
    else if (field === "id" && !value.includes("\0")) this.lastEventId = value;
    else if (field === "retry" && /^[0-9]{1,12}$/.test(value)) this.retry = Number(value);
    return null;
  }

  #dispatch() {
    const event = { name: this.#name || "message", id: this.lastEventId, data: this.#data.join("\n") };
    const empty = this.#data.length === 0;
    this.#name = ""; this.#data = [];
    return empty ? null : event;
  }
}

// -- asking brokers ----------------------------------------------------------------------------------------------------

const home = location.host;
const brokers = [home, ...page.brokers.filter((address) => address !== page.address && address !== home)];
let serving = "";                // the broker whose stream is open, "" for none
let preferred = home;            // the one to try first

const url = (address, path, fields = {}) => `${location.protocol}//${address}${path}?${new URLSearchParams(fields)}`;

/** Ask one broker. Throws an Error with a sentence for people; `final` if no other broker would answer otherwise. */
async function ask(address, path, fields, method = "GET", ms = ASK_MS) {
  const post = method === "POST";
  const options = { method, body: post ? new URLSearchParams(fields) : undefined, signal: AbortSignal.timeout(ms) };
  const answer = await fetch(url(address, path, post ? {} : fields), options);
  const said = await answer.json();
  if (answer.ok) return said;
  throw Object.assign(new Error(said.detail ?? `status ${answer.status}`), {
    final: answer.status < 500 && answer.status !== 429, code: said.code,
  });
}

/** Ask the broker that serves the stream, then the others. */
async function askAny(path, fields, method) {
  const first = serving || preferred;
  const order = [first, ...brokers.filter((other) => other !== first)];
  let last = null;
  for (const address of order) {
    try {
      return await ask(address, path, fields, method, address === order.at(-1) ? ASK_LAST_MS : ASK_MS);
    } catch (error) {
      if (error.final) throw error;
      if (error.code || !last?.code) last = error;
    }
  }
  throw last.code ? last : Object.assign(new Error("No broker can be reached."), { unreachable: true });
}

async function isUp(address) {
  try {
    return (await ask(address, "/list_replicas", {})).some((row) => row.self && row.state === "up");
  } catch { return false; }
}

// -- state of the connection -------------------------------------------------------------------------------------------

let lostSince = new Date();      // null while a stream is open
let lastByte = Date.now();

function say(kind, text, detail = "") {
  const pill = $("state");
  if (pill.textContent !== text) pill.textContent = text;     // a screen reader reads each change, so only changes
  pill.className = `state ${kind}`;
  pill.title = detail;
}

function sayOpen(broker) {
  lostSince = null;
  if ($("said").textContent === reason) tell("");
  if (serving === home) say("live", `live at broker ${broker}`);
  else say("moved", `moved to broker ${broker}`, `${home} does not answer; this page goes back by itself`);
}

let reason = "";                 // what a broker said instead of opening a stream

function sayLost(since, why = "") {
  lostSince ??= since;
  if (why) reason = why;
  const shown = () => {
    if (!lostSince) return;
    say("silent", `silent since ${clock(lostSince)}, trying again`);
    if (why && $("said").textContent !== why) tell(why, true);
  };
  if (Date.now() - lostSince >= GRACE_MS) shown();
  else setTimeout(() => { if (Date.now() - lostSince >= GRACE_MS) shown(); }, GRACE_MS);
}

// -- the stream --------------------------------------------------------------------------------------------------------

const due = new Map();           // broker -> when it may be tried again
const failures = new Map();      // broker -> tries in a row that opened no stream
let connection = new AbortController();

/** Keep a stream open, for ever, somewhere. */
async function keepStreaming() {
  for (;;) {
    if (registered === false) await untilRegistered();
    const address = await nextBroker();
    connection = new AbortController();
    const end = await stream(address, connection.signal);
    serving = "";
    if (end.refused) { registered = false; continue; }
    if (connection.signal.aborted) continue;                  // `preferred` says where to
    if (end.opened && !end.silent) failures.delete(address);
    else failures.set(address, (failures.get(address) ?? 0) + 1);
    const backOff = BACK_OFF_MS[Math.min(failures.get(address) ?? 0, BACK_OFF_MS.length - 1)] * (0.75 + Math.random() / 2);
    due.set(address, Date.now() + Math.max(backOff, end.retry ?? 0));
    if (end.to) preferred = brokers.includes(end.to) ? end.to : preferred;
    if (!end.opened || end.to) emigrate(end.to);
    sayLost(end.silent ? new Date(lastByte) : new Date(), end.why);
    if (end.why) await loadSubscriptions().catch(() => {});   // perhaps because no subscription is left
  }
}

/** The broker to try now: the preferred one, or the first other that is not to be left alone for a while. */
async function nextBroker() {
  for (;;) {
    const order = [preferred, ...brokers.filter((other) => other !== preferred)];
    const ready = order.find((address) => (due.get(address) ?? 0) <= Date.now());
    if (ready) return ready;
    await pause(Math.min(...order.map((address) => due.get(address))) - Date.now());
  }
}

/** One connection to one broker, and how it ended. Never throws. */
async function stream(address, signal) {
  const end = { opened: false, silent: false, refused: false, to: "", retry: null, why: "" };
  const fields = { username: user, format: "json", ack: "client" };
  if (mayAcknowledge) fields.last_event_id = mayAcknowledge;
  const silence = new AbortController();
  const watch = (ms) => setTimeout(() => { end.silent = true; silence.abort(); }, ms);
  let watchdog = watch(CONNECT_MS);
  try {
    const options = { headers: { Accept: "text/event-stream" }, cache: "no-store", signal: AbortSignal.any([signal, silence.signal]) };
    const answer = await fetch(url(address, "/stream", fields), options);
    end.refused = answer.status === 403;
    if (!answer.ok) return end;
    const reader = new EventReader(), incoming = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await incoming.read();
      if (done || signal.aborted) return end;
      clearTimeout(watchdog);
      watchdog = watch(SILENT_MS);
      lastByte = Date.now();
      for (const event of reader.feed(value)) receive(event, address, end);
      end.retry = reader.retry;
    }
  } catch {
    return end;                                               // a connection that breaks is an ordinary thing here
  } finally {
    clearTimeout(watchdog);
  }
}

function receive(event, address, end) {
  if (event.comment !== undefined) {
    if (event.comment.trim() === "keepalive") undelivered = 0;   // it has told all that was due
    else end.why = event.comment;
    return;
  }
  const said = JSON.parse(event.data);
  if (event.name === "open") {
    end.opened = true;
    serving = address;
    failures.delete(address);
    registered ??= true;
    sayOpen(said.broker);
    loadTopicsSoon();
  } else if (event.name === "moved") end.to = said.to;
  else if (event.name === "gap") enqueue({ gap: said, eventId: event.id });
  else if (event.name === "message") enqueue({ message: said, eventId: event.id });
}

let emigrating = false;

/** When this page's broker has left the cluster, the others take nothing from its pages: go on at a page of one of them. */
async function emigrate(named) {
  if (emigrating) return;
  emigrating = true;
  try {
    const to = await welcoming(named);
    if (!to) return;
    if ($("publish").elements.data.value) tell(`${home} has left. When the message field is empty, this page goes on at ${to}.`, true);
    else location.assign(url(to, "/stream", { username: user }));
  } finally { emigrating = false; }
}

/** The broker whose own page serves where this one may not any more; "" while this one may. */
async function welcoming(named) {
  if (named && !brokers.includes(named) && named !== page.address && /^[\w.:[\]-]+$/.test(named)) return named;   // joined since
  for (const address of brokers.filter((other) => other !== home)) {
    try {
      await ask(address, "/list_replicas", {});
      return "";
    } catch (error) {
      if (error.name !== "TypeError") continue;               // what a browser says of an origin that is refused,
    }
    try {                                                     // and of a broker that does not answer
      await fetch(url(address, "/livez"), { mode: "no-cors", signal: AbortSignal.timeout(ASK_MS) });
      return address;
    } catch { /* that it was */ }
  }
  return "";
}

/** A page that moved goes home when its own broker is back and has caught up; ever slower when that does not last. */
async function comeHome() {
  let looks = 0, wait = HOME_MS;
  for (;;) {
    await pause(wait);
    if (serving === home) { looks = 0; wait = HOME_MS; }
    if (!serving || serving === home) continue;
    wait = Math.max(wait, ++looks < 120_000 / HOME_MS ? HOME_MS : HOME_LATER_MS);
    if (!(await isUp(home)) || !serving || serving === home) continue;
    wait = Math.min(2 * wait, 60_000);
    goTo(home);
  }
}

function goTo(address) {
  preferred = address;
  due.delete(address);
  connection.abort();
}

// -- acknowledging: what was shown to somebody who can see it ----------------------------------------------------------

let shownId = "";                // event id of the last that is in the page
let mayAcknowledge = "";         // of the last that was there while the tab was visible
let acknowledged = "";
let acknowledging = false;

async function acknowledge() {
  if (visible()) mayAcknowledge = shownId;
  if (acknowledging) return;
  acknowledging = true;
  while (mayAcknowledge !== acknowledged) {
    const id = mayAcknowledge;
    try {
      await askAny("/ack", { username: user, id }, "POST");
      acknowledged = id;
      await pause(ACK_MS);
    } catch (error) {
      if (error.final) acknowledged = id;                     // not registered any more, say
      else {
        emigrate();
        await pause(HOME_MS);                                 // or the next stream says it, by where it starts
      }
    }
  }
  acknowledging = false;
}

// -- news in memory ----------------------------------------------------------------------------------------------------

let news = [];                   // in the order of the page: { message | gap, topic, at, streamed, epoch }
let chars = 0;
const known = new Map();         // message id -> its record; null when that has left memory
const queue = [];                // of the stream, to be shown with the next frame
let undelivered = 0;             // messages that the stream still brings from before the page was open
let epoch = 0;                   // grows with each "new since"; a record at or after the line has the current one
const fresh = new Map();         // topic -> fresh messages
let gaps = [];                   // told, and no message has followed them yet

const freshCount = (pattern = "") => [...fresh].reduce((sum, [topic, n]) => sum + (matches(pattern, topic) ? n : 0), 0);

/** Whether `topic` belongs to `pattern` (`*` one level, `>` the rest; "" is everything). */
function matches(pattern, topic) {
  if (pattern === "" || pattern === topic) return true;
  if (!/[*>]/.test(pattern)) return false;
  const want = pattern.split("."), have = topic.split(".");
  if (want.at(-1) === ">") { want.pop(); if (have.length <= want.length) return false; have.length = want.length; }
  return want.length === have.length && want.every((word, i) => word === "*" || word === have[i]);
}

function remember(message) {
  const record = { message, topic: message.topic, at: Date.parse(message.time), streamed: false, epoch: -1 };
  known.set(message.id, record);
  news.push(record);
  chars += message.data.length;
  return record;
}

function forget() {
  let count = 0;
  for (let left = chars; news.length - count > IN_MEMORY || (left > IN_MEMORY_CHARS && news.length - count > IN_PAGE_MOST); count++) {
    left -= news[count].message?.data.length ?? 0;
  }
  for (const { message } of news.splice(0, count)) {
    if (message) { known.set(message.id, null); chars -= message.data.length; }
  }
  for (const id of known.keys()) {
    if (known.size <= IDS) break;
    known.delete(id);
  }
}

/** History, and what is undelivered, come in the order of their brokers; among themselves they stand by time. */
function sortByTime() {
  let next = null;
  for (let i = news.length - 1; i >= 0; i--) {                // a gap stands before what follows it
    if (news[i].message) next = news[i].at;
    else news[i].at = next ?? news[i].at;
  }
  news.sort((a, b) => a.at - b.at);
}

function markFresh(record) {
  if (fresh.size === 0) { epoch++; document.querySelector("#feed .news")?.remove(); }
  fresh.set(record.topic, (fresh.get(record.topic) ?? 0) + 1);
}

/** A message of the stream: its record if the page changes by it. */
function take(message, attended) {
  let record = known.get(message.id);
  const here = record !== undefined, last = news.at(-1);
  if (record === null || record?.streamed) return null;       // it came before, perhaps from another broker
  record ??= remember(message);
  record.streamed = true;
  if (undelivered > 0 || !(attended && passes(record))) markFresh(record);
  if (undelivered > 0) undelivered--;
  record.epoch = epoch;
  if (here || gaps.length) redraw = true;
  else if (last && !last.streamed && last.at > record.at) sorting = true;   // older than what history brought
  if (here && gaps.length) {                                  // these stand before it
    news = news.filter((other) => !gaps.includes(other));
    news.splice(news.indexOf(record), 0, ...gaps);
  }
  for (const gap of gaps) Object.assign(gap, { at: record.at, epoch });
  gaps = [];
  return here ? null : record;
}

function takeGap({ topic, dropped }) {
  const same = news.findLast((record) => record.topic === topic);
  if (same?.gap?.dropped === dropped) return null;            // told before, by the broker that served before
  const record = { gap: { topic, dropped }, topic, at: news.at(-1)?.at ?? Date.now(), streamed: true, epoch };
  news.push(record);
  gaps.push(record);
  return record;
}

let frame = 0, timer = 0, busy = false, redraw = false, sorting = false;

function enqueue(item) {
  queue.push(item);
  if (frame || timer) return;
  if (visible() && !busy) frame = requestAnimationFrame(flush);
  timer = setTimeout(flush, BATCH_MS);                        // a tab that is hidden gets no frames
}

/** Take what came since the last frame into memory and page. */
function flush() {
  cancelAnimationFrame(frame); clearTimeout(timer);
  frame = timer = 0;
  if (!queue.length) return;
  busy = queue.length > BATCH;
  const following = atEnd(), catchingUp = undelivered > 0;
  const added = [];
  for (const { message, gap, eventId } of queue.splice(0)) {
    const record = message ? take(message, following && visible()) : takeGap(gap);
    if (record) added.push(record);
    shownId = eventId || shownId;
  }
  if (sorting) { sortByTime(); redraw = true; }
  forget();
  const shown = added.filter(passes);
  if (redraw || (following && shown.length > IN_PAGE)) draw();
  else append(shown, following);
  redraw = sorting = false;
  if (following) toEnd();
  else below += shown.length;
  if (added.some((record) => !listed.has(record.topic))) loadTopicsSoon();
  if (!catchingUp) announce(shown);
  showCounts();
  showEmpty();
  acknowledge();
}

// -- news in the page --------------------------------------------------------------------------------------------------

let inPage = [];                 // records that are in the page, from top to bottom
let chosen = "";                 // the topic or pattern that is looked at, "" for all
let below = 0;                   // messages that came below what is in view
let behind = false;              // newer ones are in memory only: the page is full, and read further up

const passes = (record) => matches(chosen, record.topic);
const clock = (when) => when.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
const dateOf = (at) => new Date(at).toDateString();

function day(date) {
  const now = new Date(), when = new Date(date);
  if (date === now.toDateString()) return "Today";
  if (date === new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1).toDateString()) return "Yesterday";
  return when.toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric" });
}

function dayHeading(date) {
  const made = element("h2", "day", day(date));
  made.dataset.date = date;
  return made;
}

function article({ message }) {
  const when = new Date(message.time), high = message.priority >= 4;
  const made = element("article", high ? "high" : "");
  made.dataset.topic = message.topic;
  made.dataset.id = message.id;
  const time = element("time", "", clock(when));
  time.dateTime = message.time;
  time.title = when.toLocaleString("en-GB");
  const head = element("div", "topic", message.topic);
  const beside = [message.publisher, high ? "high" : ""].filter(Boolean);
  if (beside.length) head.append(" ", element("i", "", `· ${beside.join(" · ")}`));
  const body = element("div");
  body.append(head);
  if (message.title) body.append(element("h3", "", message.title));
  if (message.data) body.append(...text(message.data));
  if (/^https?:\/\//i.test(message.click ?? "")) body.append(link(message.click));
  if (message.tags?.length) {
    const tags = element("ul", "tags");
    tags.append(...message.tags.map((tag) => element("li", "tag", tag)));
    body.append(tags);
  }
  made.append(time, body);
  return made;
}

function text(whole) {
  if (whole.length <= TEXT_CHARS * 1.2) return [element("p", "", whole)];
  const shown = element("p", "", `${whole.slice(0, TEXT_CHARS).replace(/[\uD800-\uDBFF]$/, "")}…`);
  const more = button("whole", `Show all ${plural(whole.length, "character")}`, () => {
    shown.textContent = whole;
    shown.tabIndex = -1;
    shown.focus({ preventScroll: true });
    more.remove();
  });
  return [shown, more];
}

function link(href) {
  const made = element("a", "", href);
  Object.assign(made, { href, rel: "noopener noreferrer", target: "_blank" });
  return made;
}

function gapLine({ gap: { topic, dropped } }) {
  const [were, them] = dropped === 1 ? ["was", "it"] : ["were", "them"];
  return element("p", "gap", `${plural(dropped, "older message")} of ${topic} ${were} removed by retention before you read ${them}.`);
}

/** The elements of `record`, which stands after `before`; with the line if it is the first that is new. */
function nodes(record, before, isNew) {
  const made = [];
  const date = dateOf(record.at);
  if (!before || dateOf(before.at) !== date) made.push(dayHeading(date));
  if (isNew && before) made.push(newSince(before));
  made.push(record.message ? article(record) : gapLine(record));
  return made;
}

const isNew = (record) => epoch > 0 && record.epoch === epoch;
const isNews = (node) => node.matches("article, .gap");

/** The elements of `passing` from one place to another. */
function allNodes(passing, from, to) {
  const first = passing.find(isNew);
  const made = [];
  for (let i = from; i < to; i++) made.push(...nodes(passing[i], passing[i - 1], passing[i] === first));
  if (made.length && !made[0].matches(".day")) made.unshift(dayHeading(dateOf(passing[from].at)));
  return made;
}

function newSince(before) {
  const when = new Date(before.at), date = dateOf(before.at);
  return element("div", "news", `new since ${date === new Date().toDateString() ? "" : `${day(date)} `}${clock(when)}`);
}

/** Draw all anew: the newest that pass the filter. */
function draw() {
  const passing = news.filter(passes);
  const from = Math.max(0, passing.length - IN_PAGE);
  $("feed").replaceChildren(...allNodes(passing, from, passing.length));
  inPage = passing.slice(from);
  behind = false;
  $("earlier").hidden = from === 0;
}

function append(records, following) {
  if (behind || (!following && inPage.length >= IN_PAGE_MOST)) {
    behind ||= records.length > 0;
    return;
  }
  for (const record of records) {
    const before = inPage.at(-1);
    $("feed").append(...nodes(record, before, isNew(record) && before && !isNew(before) && !document.querySelector("#feed .news")));
    inPage.push(record);
  }
  if (following && inPage.length > IN_PAGE) cutTop(inPage.length - IN_PAGE);
}

function cutTop(count) {
  const feed = $("feed");
  for (let left = count; left > 0; feed.firstChild.remove()) left -= isNews(feed.firstChild) ? 1 : 0;
  inPage.splice(0, count);
  if (!feed.firstChild.matches(".day")) feed.prepend(dayHeading(dateOf(inPage[0].at)));
  $("earlier").hidden = false;
}

/** Put what stands before the first into the page, without moving what is in view. */
function addEarlier() {
  const passing = news.filter(passes), to = passing.indexOf(inPage[0]), from = Math.max(0, to - 200);
  if (to > 0) {
    const feed = $("feed"), anchor = [...feed.children].find(isNews), top = anchor.getBoundingClientRect().top;
    if (dateOf(passing[to - 1].at) === feed.firstChild.dataset.date) feed.firstChild.remove();
    feed.prepend(...allNodes(passing, from, to));
    inPage.unshift(...passing.slice(from, to));
    window.scrollBy({ top: anchor.getBoundingClientRect().top - top, behavior: "instant" });
  }
  $("earlier").hidden = from <= 0;
}

/** The reverse, where somebody who read further up comes to the end of the page, but not of the news. */
function addLater() {
  const passing = news.filter(passes), from = passing.indexOf(inPage.at(-1)) + 1, to = Math.min(passing.length, from + 200);
  behind = false;
  append(passing.slice(from, to), true);
  behind = to < passing.length;
  below = passing.length - to;
}

const atBottom = () => window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 80;
const atEnd = () => !behind && atBottom();

function toEnd() {
  if (behind) draw();
  window.scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" });
  looked();
}

/** The view or its end has moved: what does that say about what was seen? */
let wasAtEnd = true, reading = 0;
function looked() {
  if (behind && atBottom()) addLater();
  wasAtEnd = atEnd();
  if (wasAtEnd) below = 0;
  const reads = wasAtEnd && visible() && freshCount() > 0;
  if (!reads) { clearTimeout(reading); reading = 0; }
  else if (!reading) reading = setTimeout(() => { reading = 0; read(); showCounts(); }, READ_MS);
  showJump();
}

/** What is looked at has been read. */
function read() {
  for (const topic of [...fresh.keys()]) if (matches(chosen, topic)) fresh.delete(topic);
}

function showJump() {
  const line = document.querySelector("#feed .news"), count = freshCount(chosen);
  const above = line && count > 0 && line.getBoundingClientRect().bottom < $("state").getBoundingClientRect().bottom;
  $("jump").textContent = below ? `↓ ${plural(below, "new message")}` : above ? `↑ ${line.textContent}` : "";
  $("jump").hidden = !$("jump").textContent;
}

function jump() {
  if (below) toEnd();
  else document.querySelector("#feed .news")?.scrollIntoView({ block: "start", behavior: "instant" });
}

function showEmpty() {
  const none = registered === false
    ? `${user} is not registered for any topic yet. Subscribe to one, and its news comes in here.`
    : inPage.length ? "" : chosen ? `No news of ${chosen} yet.` : "No news yet. What is published on your topics comes in here.";
  $("empty").textContent = registered === undefined ? "" : none;
  $("empty").hidden = !$("empty").textContent;
}

let unheard = [], hearing = 0;

/** Tell a screen reader what came, shortly: the log itself would have each of a hundred messages read out. */
function announce(records) {
  unheard.push(...records.filter((record) => record.message));
  if (unheard.length) hearing ||= setTimeout(() => {
    const [{ message }] = unheard;
    $("heard").textContent = unheard.length > 1 ? `${unheard.length} new messages` : `${message.topic}: ${message.title ?? message.data.slice(0, 200)}`;
    hearing = 0;
    unheard = [];
  }, HEARD_MS);
}

/** What was published before (of `topic`), as far back as is neither too much nor too little, into memory. */
async function loadHistory(topic) {
  const fields = { username: user, limit: 300, ...(topic ? { topic } : {}) };
  const since = (from, more) => askAny("/messages", { ...fields, since: from, ...more });
  let found = null, wider = null;
  for (const from of HISTORY) {
    found = await since(from);
    if (!found.more) break;
    wider = found;
  }
  const few = found.messages.length < HISTORY_LITTLE;
  let all = found.messages;
  if (wider && (few || found.more)) all = [...await readOn(since, wider), ...all];
  else if (few) {
    for (const from of HISTORY_MORE) {
      const more = await since(from);
      if (more.more) break;
      all = more.messages;
    }
  }
  for (const message of all) if (!known.has(message.id)) remember(message);
  sortByTime();
}

/** Pages go forward only: on to the newest. */
async function readOn(since, first) {
  const all = [...first.messages];
  for (let at = first, pages = 0; at.more && pages < HISTORY_PAGES; pages++) {
    at = await since(at.messages.at(-1).event_id, { limit: 1_000 });
    all.push(...at.messages);
  }
  return all;
}

// -- topics ------------------------------------------------------------------------------------------------------------

let registered;                  // whether the user has subscriptions; undefined while nobody could say
let subscriptions = [];          // patterns
const listed = new Set();        // topics that the lists know of

async function loadSubscriptions() {
  const rows = await askAny("/subscriptions", { username: user });
  subscriptions = rows.map((row) => row.topic);
  registered = rows.length > 0;
  return rows;
}

let arrived = () => {};

async function untilRegistered() {
  $("find").open = true;
  showEmpty();
  lostSince = null;
  say("live", "connected, no topics yet");
  while (registered === false) {
    await Promise.race([new Promise((done) => { arrived = done; }), pause(HOME_MS)]);
    try {
      await loadSubscriptions();
      lostSince = null;
      if (!registered) say("live", "connected, no topics yet");
    } catch { sayLost(new Date()); }
  }
  hurry();
  showEmpty();
}

async function loadTopics() {
  const [all] = await Promise.all([askAny("/topics", {}), loadSubscriptions()]);
  const names = all.map((row) => row.topic);
  const covered = names.filter((topic) => subscriptions.some((pattern) => matches(pattern, topic)));
  const mine = [...new Set([...subscriptions, ...covered])].sort();
  const more = names.filter((topic) => !mine.includes(topic));
  for (const topic of names) listed.add(topic);
  list($("mine"), ["", ...mine.slice(0, LISTED)], mineItem);
  list($("more"), more.slice(0, LISTED), moreItem);
  list($("topics"), [...new Set([...mine.filter((topic) => !/[*>]/.test(topic)), ...names])].slice(0, LISTED), (topic) => Object.assign(element("option"), { value: topic }));
  if (!mine.includes(chosen)) choose("");
  const field = $("publish").elements.topic;
  if (!field.value && document.activeElement !== field) prefill(mine.find((topic) => !/[*>]/.test(topic)) ?? "");
  showCounts();
  showEmpty();
}

let topicsTimer = 0;
function loadTopicsSoon() {
  topicsTimer ||= setTimeout(() => { topicsTimer = 0; loadTopics().catch(() => {}); }, 1_000);
}

/** Make `items` the list's, and keep the elements that are there: one may have the focus. */
function list(parent, items, make) {
  const there = new Map([...parent.children].map((child) => [child.dataset.topic, child]));
  items.forEach((topic, at) => {
    const child = there.get(topic) ?? make(topic);
    child.dataset.topic = topic;
    there.delete(topic);
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
  });
  for (const child of there.values()) child.remove();
}

function mineItem(topic) {
  const item = element("li"), pick = button("pick");
  pick.append(element("span", "", topic || "All"));
  pick.title = topic;
  item.append(pick);
  return item;
}

function moreItem(topic) {
  const item = element("li"), pick = button("pick");
  pick.append(element("span", "", topic), element("span", "n", "Subscribe"));
  pick.setAttribute("aria-label", `Subscribe to ${topic}`);
  item.append(pick);
  return item;
}

function showCounts() {
  for (const item of $("mine").children) {
    const { topic } = item.dataset, pick = item.firstChild, count = freshCount(topic);
    const shown = pick.querySelector(".n")?.textContent ?? "";
    const wanted = count ? `${count > 999 ? "999+" : count} new` : "";
    if (shown !== wanted) {
      pick.querySelector(".n")?.remove();
      if (count) {
        const number = element("span", "n", wanted.replace(" new", ""));
        number.append(element("span", "unseen", " new"));
        pick.append(number);
      }
    }
    pick.setAttribute("aria-current", String(topic === chosen));
    const off = item.querySelector(".off"), wantsOff = topic !== "" && topic === chosen && subscriptions.includes(topic);
    if (off && !wantsOff) off.remove();
    if (!off && wantsOff) item.append(Object.assign(button("off", "Unsubscribe", () => unsubscribe(topic)), { title: `Unsubscribe from ${topic}` }));
  }
  const count = visible() ? 0 : freshCount();
  const title = `${count ? `(${count}) ` : ""}${user} · newswire`;
  if (document.title !== title) document.title = title;
  looked();
}

function choose(topic) {
  if (chosen && wasAtEnd) read();
  chosen = topic;
  below = 0;
  if (topic && !/[*>]/.test(topic)) prefill(topic);
  draw();
  showCounts();
  showEmpty();
  toEnd();
  $("mine").querySelector("[aria-current=true]").parentNode.scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });
}

async function subscribe(topic) {
  try {
    tell((await askAny("/subscribe", { username: user, topic }, "POST")).message);
    if (matchMedia("(max-width: 700px)").matches) $("find").open = false;
    await loadTopics();
    arrived();
    const following = atEnd();
    await loadHistory(topic);
    draw();
    showEmpty();
    if (following) toEnd();
  } catch (error) { tell(error.message, true); }
}

async function unsubscribe(topic) {
  try {
    tell((await askAny("/unsubscribe", { username: user, topic }, "POST")).message);
    choose("");
    $("mine").querySelector("button").focus();
    await loadTopics();
  } catch (error) { tell(error.message, true); }
}

// -- publishing --------------------------------------------------------------------------------------------------------

function tell(text, bad = false) {
  $("said").textContent = text;
  $("said").classList.toggle("bad", bad);
}

function prefill(topic) {
  const { topic: field, data } = $("publish").elements;
  if (field.value !== topic) field.value = topic;
  data.placeholder = placeholder(topic);
}

const placeholder = (topic) => (topic ? `Write to ${topic}` : "Write a message");

/** `crypto.randomUUID` wants https. */
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

let draft = { text: "", key: "" };   // the key makes it safe to send the same again, here or at another broker
let publishing = false;

async function publish(event) {
  event.preventDefault();
  if (publishing) return;
  const form = event.target, topic = form.elements.topic.value.trim(), data = form.elements.data.value;
  if (draft.text !== `${topic}\n${data}`) draft = { text: `${topic}\n${data}`, key: newKey() };
  const press = form.querySelector("button:not([type])");
  publishing = true;
  press.setAttribute("aria-disabled", "true");
  try {
    const { copies } = await askAny("/publish", { topic, data, key: draft.key }, "POST");
    const elsewhere = subscriptions.some((pattern) => matches(pattern, topic)) ? "" : `. You are not subscribed to ${topic}`;
    tell(`Stored on ${plural(copies, "broker")}, ${new Date().toLocaleTimeString("en-GB")}${elsewhere}`);
    draft = { text: "", key: "" };
    if (form.elements.data.value === data) form.elements.data.value = "";
    if (!listed.has(topic)) loadTopicsSoon();
  } catch (error) {
    if (error.unreachable) emigrate();
    tell(error.unreachable ? "No broker answers. Publish again in a moment: it is stored once." : error.message, true);
  } finally {
    publishing = false;
    press.removeAttribute("aria-disabled");
    if (form.contains(document.activeElement)) form.elements.data.focus();
  }
}

// -- start -------------------------------------------------------------------------------------------------------------

function listen() {
  const { topic, data } = $("publish").elements;
  $("publish").addEventListener("submit", publish);
  topic.addEventListener("input", () => { data.placeholder = placeholder(topic.value.trim()); });
  data.addEventListener("keydown", (event) => {               // Shift and Enter: a new line; an input method's Enter is its own
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    $("publish").requestSubmit();
  });
  $("subscribe").addEventListener("submit", (event) => { event.preventDefault(); subscribe(event.target.elements.topic.value.trim()); event.target.reset(); });
  $("mine").addEventListener("click", (event) => { const pick = event.target.closest(".pick"); if (pick) choose(pick.parentNode.dataset.topic); });
  $("more").addEventListener("click", (event) => { const pick = event.target.closest(".pick"); if (pick) subscribe(pick.parentNode.dataset.topic); });
  $("jump").addEventListener("click", jump);
  $("earlier").addEventListener("click", addEarlier);
  window.addEventListener("scroll", looked, { passive: true });
  window.addEventListener("resize", () => { if (wasAtEnd) toEnd(); });
  window.addEventListener("online", hurry);
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  document.addEventListener("visibilitychange", seenOrNot);
}

function seenOrNot() {
  if (!visible()) {
    if (wasAtEnd) read();                                     // what was in view
  } else {
    flush();
    acknowledge();
    hurry();
    if (serving && Date.now() - lastByte > SILENT_MS) connection.abort();   // the machine slept
    loadTopicsSoon();
  }
  showCounts();
}

function everyWhile() {
  if (!visible()) return;
  for (const heading of document.querySelectorAll(".day")) {
    const name = day(heading.dataset.date);
    if (heading.textContent !== name) heading.textContent = name;
  }
  loadTopicsSoon();
}

async function start() {
  listen();
  history.scrollRestoration = "manual";
  $("find").open = !matchMedia("(max-width: 700px)").matches;
  try {
    const rows = await loadSubscriptions();
    undelivered = rows.reduce((sum, row) => sum + row.unread, 0);
    if (registered && undelivered < IN_PAGE) await loadHistory();
  } catch { /* the stream brings what is undelivered anyway */ }
  draw();
  toEnd();
  if (registered !== false) sayLost(new Date());
  loadTopics().catch(() => {});
  setInterval(everyWhile, TOPICS_MS);
  keepStreaming();
  comeHome();
}

start();
