// The feed: news as it comes, from whichever broker is alive. Native modules, no build step. This one puts the others together:
//
//   store.js     what a tab holds (pure)          stream.js   one stream, from some broker, in one of the tabs
//   view.js      what of it is in the page        tabs.js     which tab that is, and what they tell each other
//   topics.js    the topics beside it             acks.js     what was shown is told to a broker
//   publish.js   the form at its foot             brokers.js  asking brokers
//   history.js   what was published before (pure) search.js   what is found, in place of the news
//   alerts.js    what is told to who looks away   bell.js     by notification, sound, and the icon of the tab

import { Acknowledger } from "./acks.js";
import { AlertPanel } from "./alert_panel.js";
import { Alerts } from "./alerts.js";
import { announce, renameDays } from "./article.js";
import { canPlay, play, show, showCountInIcon, takeBack } from "./bell.js";
import { askAny, at, brokers, home, page, url, user } from "./brokers.js";
import { lookForConfirmations } from "./confirm.js";
import { $, element, narrow, visible } from "./dom.js";
import { History } from "./history.js";
import { wireKeys } from "./keys.js";
import { noteLastWord } from "./last_word.js";
import { locksOf } from "./locks.js";
import { isPattern, patternFault } from "./names.js";
import { PublishForm } from "./publish.js";
import { Search } from "./search.js";
import { showAllowed, showForbidden, showSignedIn, showSignedOut, showState, tell } from "./status.js";
import { Store } from "./store.js";
import { Stream } from "./stream.js";
import { Tabs } from "./tabs.js";
import { Topics } from "./topics.js";
import { View } from "./view.js";
import { pause } from "./waiting.js";

const TOPICS_MS = 30_000;
const ARRIVAL_MS = 5_000;        // how often a user without subscriptions is looked for
const BATCH = 50;                // messages in one frame: more are coming, so rather all at once than each on its own
const BATCH_MS = 250;
const AT_A_GLANCE = 3;           // messages that come in one frame and are certainly all in view
const UNDELIVERED_MOST = 500;    // with more than fill the page, history would only be in the way

const store = new Store();
const past = new History((fields) => askAny("/messages", { username: user, ...fields }));
const isHere = (id) => store.has(id);
const loadHistory = (topic = "") => past.load(topic, isHere);
const view = new View(store, {
  read: (ids) => read(ids),
  since: (topic) => past.since(topic),
  hasOlder: (topic) => Boolean(topics.registered) && !store.undelivered && (!topic || topics.isSubscribed(topic)) && past.hasOlder(topic),
  older: async (topic) => {
    const more = store.addHistory(await past.older(topic, isHere), true);
    showCounts();
    showEmpty();
    return more;
  },
});
const search = new Search({ chosen: () => view.chosen, opens: () => view.cover(), left: () => view.uncover() });
const form = new PublishForm({
  isSubscribed: (topic) => topics.isSubscribed(topic),
  isNew: (topic) => topics.areLoaded && !topics.knows(topic),
  published: (topic) => { if (!topics.knows(topic)) topics.loadSoon(); },
  unreachable: () => stream.moveOn(),
});
const topics = new Topics({
  unreadCount: (pattern) => store.unreadCount(pattern),
  chosen: () => view.chosen,
  choose: (topic) => choose(topic),
  markRead: (pattern) => read(store.unreadIds(pattern)),
  loaded: (first) => { form.prefillIfEmpty(first); form.showNew(); showEmpty(); },
  subscribed: (topic) => { tabs.tell("topics", topic); return loadTopic(topic); },
});
const acknowledger = new Acknowledger({
  post: (id) => page.acknowledges ? askAny("/ack", { username: user, id }, "POST") : Promise.resolve(),   // not what is another's
  confirmed: (id) => { showAllowed(); tabs.tell("shown", id); },
  refused: (error) => { if (error.status === 403 && error.code !== "not-registered") showForbidden(error.message); },
  unanswered: () => stream.moveOn(),
});
const locks = locksOf(window);
const stream = new Stream({
  items: (items) => tabs.share(items),
  place: () => store.place,
  changed: (state) => { showState(state); tabs.tellState(); },
  alive: () => { tabs.tellState(false); noteLastWord(brokers, user); },
  opened: () => {
    showSignedIn();
    topics.registered ??= true;
    topics.loadSoon();
    // a stream that begins at the user's place leaves out what another browser has confirmed since this page loaded its history
    if (!store.place && store.undelivered < UNDELIVERED_MOST) loadHistory().then(addHistory, () => {});
  },
  keptUp: () => { if (store.undelivered) tabs.share([{ caughtUp: true }]); },
  registered: () => topics.registered,
  untilRegistered,
  refused: () => { topics.registered = false; },
  told: () => topics.loadSubscriptions().catch(() => {}),     // perhaps because no subscription is left
  giveWay: () => tabs.giveWay(),
  leave: (address) => { tabs.tell("leave", address); leave(address); },
  visible,
}, locks);
const tabs = new Tabs({
  channel: new BroadcastChannel(`newswire ${user}`),
  locks,
  name: `newswire stream of ${user}`,
  on: {
    lead: (signal) => stream.run(signal),
    state: () => ({ ...stream.state, registered: topics.registered, preferred: at.preferred }),
    showState: follow,
    take: enqueue,
    backlog: () => { flush(); return store.backlog(); },
    adopt: (backlog) => { flush(); change(() => store.adopt(backlog)); },
    shown: (id) => { flush(); store.shownElsewhere(id); },
    read: (ids) => { if (store.markRead(ids).length) showCounts(); },
    topics: (topic) => topics.load().then(() => loadTopic(topic)).catch(() => {}),
    leave,
    hurry: () => stream.tryNow(),
  },
});
const panel = new AlertPanel(user, () => view.chosen);
const alerts = new Alerts({
  channel: new BroadcastChannel(`newswire alerts of ${user}`),
  on: {
    settings: () => panel.settings,
    leads: () => tabs.leads,
    isUnread: (id) => store.isUnread(id),
    isLookedAt: () => visible() && document.hasFocus(),
    canPlay, play,
    show: (messages) => show(messages, user, goTo),
  },
});

/** The tab that leads says how the connection stands. */
function follow(state) {
  at.serving = state.serving;
  at.preferred = state.preferred;
  if (state.registered !== undefined && state.registered !== topics.registered) {
    topics.registered = state.registered;
    if (!state.registered) $("find").open = true;
    showEmpty();
  }
  stream.state = state;                                       // a tab that leads next begins with it
  showState(state);
}

// -- what comes ----------------------------------------------------------------------------------------------------------

const queue = [];                // of the stream, to be shown with the next frame
let frame = 0, timer = 0, busy = false;

function enqueue(items) {
  queue.push(...items);
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
  const items = queue.splice(0), attended = view.following && visible(), catchingUp = store.undelivered > 0;
  const { added } = change(() => store.take(items, (record) => attended && view.passes(record)));
  if (!catchingUp) alerts.consider(added);
  takeBack(items.flatMap(({ withdrawn }) => withdrawn ?? []));
  if (attended) readElsewhere(items.filter(({ message }) => message && !store.isUnread(message.id)).map(({ message }) => message.id));
}

/** Let the store change, and show it. Gives how it changed. */
function change(act) {
  const following = view.following, catchingUp = store.undelivered > 0;
  const changes = act(), shown = view.update(changes, following);
  if (changes.added.some((record) => !topics.knows(record.topic))) topics.loadSoon();
  if (!catchingUp) announce([...shown, ...changes.changed.filter((record) => view.passes(record))]);
  showCounts();
  showEmpty();
  if (visible()) acknowledge();
  return changes;
}

function acknowledge() {
  const place = store.shown();
  if (place) acknowledger.shown(place);
}

// -- what was read -------------------------------------------------------------------------------------------------------

function read(ids) {
  if (store.markRead(ids).length) showCounts();
  readElsewhere(ids);
}

function readElsewhere(ids) {
  if (ids.length) tabs.tell("read", ids);
}

function showCounts() {
  topics.showCounts();
  showTitle();
  view.looked();
}

function showTitle() {
  const count = visible() ? 0 : store.unreadCount();
  const title = `${count ? `(${count}) ` : ""}${view.chosen ? `${view.chosen} · ` : ""}${user} · newswire`;
  if (document.title !== title) document.title = title;
  showCountInIcon(count);
  if (tabs.leads) navigator.setAppBadge?.(store.unreadCount()).catch(() => {});   // of the page as an app
}

// -- which topic is looked at: it stands in the address -------------------------------------------------------------------

const topicInAddress = () => {
  const topic = new URLSearchParams(location.search).get("topic") ?? "";
  return topic && !patternFault(topic) ? topic : "";
};

function choose(topic, { remember = true } = {}) {
  if (remember && topic !== view.chosen) {
    const address = new URL(location.href);
    if (topic) address.searchParams.set("topic", topic);
    else address.searchParams.delete("topic");
    history.pushState(null, "", address);
  }
  if (topic && !isPattern(topic)) form.prefill(topic);
  view.choose(topic);
  showCounts();
  showEmpty();
  view.toEnd();
  topics.showChosen();
  search.again();
}

/** Show the message `id`, as who has pressed its notification wants it; the end of the news where the page has it no more. */
function goTo(id) {
  search.leave();
  const find = () => [...$("feed").children].find((node) => node.dataset.id === id);
  if (!find()) choose("");
  view.toEnd();
  const there = find();
  if (!there) return;
  there.tabIndex = -1;
  there.focus({ preventScroll: true });
  there.scrollIntoView({ block: "center", behavior: "instant" });
}

function showEmpty() {
  const { chosen } = view, missing = topics.registered && chosen && !topics.isSubscribed(chosen);
  const none = topics.registered === false
    ? `${user} is not registered for any topic yet. Subscribe to one, and its news comes in here.`
    : missing ? `${user} is not subscribed to ${chosen}.`
      : view.isEmpty ? chosen ? `No news of ${chosen} yet.` : "No news yet. What is published on your topics comes in here." : "";
  $("empty").textContent = topics.registered === undefined ? "" : none;
  $("empty").hidden = !$("empty").textContent;
  const offer = topics.registered !== undefined && chosen && !topics.isSubscribed(chosen);
  $("follow").hidden = !offer;
  $("follow").textContent = offer ? `Subscribe to ${chosen}` : "";
}

/** The user has subscribed to `topic` ("": unsubscribed from something), here or in another tab. */
async function loadTopic(topic) {
  if (topic) addHistory(await loadHistory(topic));
  else showEmpty();
}

function addHistory(messages) {
  const following = view.following;
  if (store.addHistory(messages)) view.draw();
  showCounts();
  showEmpty();
  if (following) view.toEnd();
}

async function untilRegistered(signal) {
  $("find").open = true;
  showEmpty();
  stream.sayConnected();
  while (topics.registered === false && !signal.aborted) {
    await Promise.race([topics.arrival(), pause(ARRIVAL_MS, signal)]);
    try {
      await topics.loadSubscriptions();
      if (topics.registered === false) stream.sayConnected();
    } catch { stream.sayLost(new Date()); }
    tabs.tellState(false);
  }
  stream.tryNow();
  showEmpty();
}

function leave(to) {
  if (form.isEmpty) location.assign(url(to, "/stream", { username: user, ...(view.chosen ? { topic: view.chosen } : {}) }));
  else tell(`${home} has left. When the message field is empty, this page goes on at ${to}.`, true);
}

// -- signing in again: what was typed waits in this tab ---------------------------------------------------------------------

const DRAFT = `newswire draft of ${user}`;

/** At this page's own broker, or at the one that it has moved to: brokers at several hosts each have a session of their own. */
function askToSignIn({ detail: address }) {
  const place = address === home ? `${location.pathname}${location.search}` : `/stream?${new URLSearchParams({ username: user })}`;
  const href = url(address, "/login", { next: place });
  if ($("notice").querySelector("a")?.href === href && !$("notice").hidden) return;
  const link = element("a", "", "Sign in");
  link.href = href;
  if (address === home) {
    sayMute();
    link.addEventListener("click", () => { if (!form.isEmpty) sessionStorage.setItem(DRAFT, JSON.stringify(form.draft)); });
    showSignedOut("You are signed out. ", link, " and this page goes on; what you have typed stays.");
  } else {
    link.target = "_blank";
    showSignedOut(`${home} does not answer, and ${address} does not know you yet. `, link, " there, and go on in the tab that opens; what you have typed stays here.");
  }
}

/** Who counts on notifications, and looks away, is told that none come any more: once, as all tabs give it one tag. */
function sayMute() {
  if (!panel.settings.desktop || (visible() && document.hasFocus())) return;
  show([{ id: "signed out", topic: "newswire", title: "signed out", data: "No news comes in any more, and none is told, until you sign in again." }], user, goTo);
}

function restoreDraft() {
  const draft = sessionStorage.getItem(DRAFT);
  sessionStorage.removeItem(DRAFT);
  if (draft) form.restore(JSON.parse(draft));
}

// -- start ---------------------------------------------------------------------------------------------------------------

function listen() {
  $("skip").addEventListener("click", (event) => { event.preventDefault(); form.focus(); });
  $("follow").addEventListener("click", () => topics.subscribe(view.chosen));
  window.addEventListener("popstate", () => choose(topicInAddress(), { remember: false }));
  window.addEventListener("online", tryNow);
  document.addEventListener("signedout", askToSignIn);
  window.addEventListener("offline", () => { if (tabs.leads) stream.cut(); });
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  document.addEventListener("visibilitychange", seenOrNot);
  navigator.serviceWorker?.addEventListener("message", ({ data }) => { if (data.goTo && data.user === user) goTo(data.goTo); });
  wireKeys([
    ["w", "write a message", () => form.focus()],
    ["/", "search the news", () => search.focus()],
    ["t", "go to the topics", () => topics.focus()],
    ["f", "find a topic", () => topics.focusFilter()],
    ["a", "show all topics", () => choose("")],
    ["u", "go to the first that is new, or to the end", () => view.toNew()],
    ["m", "mark what is shown as read", () => read(store.unreadIds(view.chosen))],
    ["n", "set up notifications", () => $("alerts-open").click()],
  ]);
  document.addEventListener("freeze", () => tabs.freeze());
  document.addEventListener("resume", () => { tabs.thaw(); loadHistory().then(addHistory, () => {}); });
}

function seenOrNot() {
  if (visible()) {
    flush();
    acknowledge();
    tryNow();
    topics.loadSoon();
    lookForConfirmations();
  }
  showCounts();
}

/** The network or the person is back. A tab that is hidden would wait on: its timers come once a minute. */
function tryNow() {
  stream.tryNow();
  if (!tabs.leads) tabs.tell("hurry");
}

function everyWhile() {
  if (!visible()) return;
  renameDays();
  lookForConfirmations();
  topics.loadSoon();
}

async function start() {
  listen();
  history.scrollRestoration = "manual";
  $("find").open = !narrow();
  view.chosen = topicInAddress();
  try {
    const rows = await topics.loadSubscriptions();
    store.undelivered = rows.reduce((sum, row) => sum + row.unread, 0);
    if (topics.registered && store.undelivered < UNDELIVERED_MOST) addHistory(await loadHistory());
  } catch { /* the stream brings what is undelivered anyway */ }
  choose(view.chosen, { remember: false });
  restoreDraft();
  topics.load().then(() => topics.showChosen()).catch(() => {});
  setInterval(everyWhile, TOPICS_MS);
  tabs.run();
  if (location.hash.startsWith("#message-")) goTo(decodeURIComponent(location.hash.slice("#message-".length)));
  navigator.serviceWorker?.register("/static/worker.js", { scope: "/" }).catch(() => {});   // without it the page works as well
}

start();
