import assert from "node:assert/strict";
import { test } from "node:test";
import { Store } from "./static/store.js";

const T0 = Date.parse("2026-01-01T12:00:00Z");
const message = (n, topic = "news", more = {}) => ({ id: `m${n}`, topic, data: `${n}`, time: new Date(T0 + n * 1_000).toISOString(), ...more });
const item = (n, topic) => ({ message: message(n, topic), eventId: `e${n}` });
const gap = (topic, dropped, eventId) => ({ gap: { topic, dropped }, eventId, at: T0 });
const texts = (store) => store.records.map(({ message: m, gap: g }) => (m ? m.data : `-${g.dropped}`));
const all = () => true, none = () => false;

test("what comes twice, from whichever broker, is there once", () => {
  const store = new Store();
  assert.equal(store.take([item(1), item(2)], all).added.length, 2);
  assert.equal(store.take([{ open: true }, item(1), item(2), item(3)], all).added.length, 1);
  store.addHistory([message(2), message(3)]);
  assert.deepEqual(texts(store), ["1", "2", "3"]);
});

test("history stands by time, and what the stream brings of it is not new", () => {
  const store = new Store();
  store.addHistory([message(5), message(3)]);
  assert.equal(store.addHistory([message(5)]), false);
  const change = store.take([item(3), item(4)], all);
  assert.deepEqual([change.added.length, change.redraw], [1, true]);
  assert.deepEqual(texts(store), ["3", "4", "5"]);
  assert.equal(store.unreadCount(), 0);
});

test("older ones stand before what is here, also those of one moment", () => {
  const store = new Store(), batch = (n) => ({ ...message(n), time: message(0).time });
  store.addHistory([batch(3), batch(4)]);
  store.addHistory([batch(1), batch(2)], true);
  assert.deepEqual(texts(store), ["1", "2", "3", "4"]);
});

test("unread is what nobody saw come, and what was undelivered", () => {
  const store = new Store();
  store.undelivered = 2;
  store.take([item(1, "a"), item(2, "b"), item(3, "a")], all);
  assert.deepEqual([store.unreadCount(), store.unreadCount("a"), store.unreadCount("b"), store.unreadCount(">")], [2, 1, 1, 2]);
  store.take([{ caughtUp: true }, item(4, "a.x"), item(5, "a.y")], none);
  assert.deepEqual([store.unreadCount("a.*"), store.unreadCount("a")], [2, 1]);
  assert.deepEqual(store.markRead(["m4", "m4", "m3", "nobody"]), ["m4"], "each counts once");
  assert.equal(store.unreadCount("a.*"), 1);
  assert.deepEqual(store.unreadIds("a.*"), ["m5"]);
  store.markRead(store.unreadIds());
  assert.equal(store.unreadCount(), 0);
});

test("what another tab has shown before it comes here is read", () => {
  const store = new Store();
  assert.deepEqual(store.markRead(["m1"]), []);
  store.take([item(1), item(2)], none);
  assert.deepEqual(store.unreadIds(), ["m2"]);
});

test("'new since' stands before the first unread message, and moves when the next one comes after all were read", () => {
  const store = new Store();
  const first = () => store.records.find((record) => store.isNew(record))?.message.data;
  store.take([item(1)], all);
  assert.equal(first(), undefined);
  assert.equal(store.take([item(2), item(3)], none).newLine, true);
  assert.equal(first(), "2");
  store.markRead(["m2", "m3"]);
  assert.equal(first(), "2");
  assert.equal(store.take([item(4)], all).newLine, false);
  assert.equal(store.take([item(5)], none).newLine, true);
  assert.equal(first(), "5");
});

test("gaps stand before the message that follows them, and are told once", () => {
  const store = new Store();
  store.addHistory([message(1), message(9)]);
  store.take([gap("news", 3, "e1"), item(9)], all);
  assert.deepEqual(texts(store), ["1", "-3", "9"]);
  store.take([{ open: true }, gap("other", 3, ""), gap("news", 3, "e1"), item(9), gap("other", 3, "e9"), item(10, "other")], all);
  assert.deepEqual(texts(store), ["1", "-3", "9", "-3", "10"]);
  store.take([{ open: true }, gap("other", 3, "")], all);
  assert.equal(store.place, "");
  assert.equal(store.take([gap("more", 1, ""), item(9)], all).redraw, true);
  assert.deepEqual(texts(store), ["1", "-3", "9", "-3", "10"]);
  store.take([gap("more", 1, "")], all);
  assert.equal(store.shown(), "e9", "a gap without an id of its own confirms nothing");
});

test("memory has a limit; what has left it still counts as known, and not as unread", () => {
  const store = new Store({ messages: 3, ids: 5 });
  store.take([1, 2, 3, 4].map((n) => item(n)), none);
  assert.deepEqual(texts(store), ["2", "3", "4"]);
  assert.equal(store.unreadCount(), 3);
  assert.equal(store.take([item(1)], none).added.length, 0);
  const wide = new Store({ chars: 10, least: 2 });
  wide.take([1, 2, 3].map((n) => ({ message: message(n, "news", { data: "x".repeat(8) }), eventId: `e${n}` })), none);
  assert.equal(wide.records.length, 2);
});

test("the place is what this tab showed, or what another says that it showed", () => {
  const store = new Store();
  assert.equal(store.shown(), "");
  store.take([item(1), item(2), item(3)], all);
  assert.equal(store.place, "");
  store.shownElsewhere("e2");
  assert.equal(store.place, "e2");
  assert.deepEqual(store.backlog().items.map((one) => one.eventId), ["e3"]);
  store.shownElsewhere("e9");
  assert.equal(store.place, "e2", "of what it has not received it can't judge");
  assert.equal(store.shown(), "e3");
  store.take([{ open: true }], all);
  assert.equal(store.shown(), "e3", "a connection that begins shows nothing");
});

test("a tab that opens later gets what nobody has shown, what is unread, and the newest of the rest", () => {
  const leader = new Store();
  leader.take([item(1), item(2)], all);
  leader.shown();
  leader.take([item(3), gap("other", 2, "e3"), item(4, "other")], none);
  const late = new Store();
  late.undelivered = 7;
  late.addHistory([message(3)]);
  late.adopt(leader.backlog());
  assert.deepEqual(texts(late), texts(leader));
  assert.equal(late.place, "e2");
  assert.deepEqual([late.unreadCount(), late.unreadCount("other")], [2, 1]);
  assert.equal(late.shown(), "e4");
  late.take([item(5)], all);
  assert.equal(late.unreadCount(), 2, "what it counted as undelivered is the leader's matter");
});

test("a message that another tab has as unread is unread where history brings it later", () => {
  const store = new Store();
  store.adopt({ items: [], recent: [], unread: ["m1"], undelivered: 0, place: "" });
  store.addHistory([message(1), message(2)]);
  assert.deepEqual(store.unreadIds(), ["m1"]);
});

const newer = (n, original, replaces = original) => ({ message: message(n, "news", { original, replaces }), eventId: `e${n}` });

test("a message stands in the place of the one that it replaces, whatever came between", () => {
  const store = new Store();
  store.take([item(1), item(2), item(3)], all);
  const change = store.take([newer(4, "m2")], none);
  assert.deepEqual(texts(store), ["1", "4", "3"]);
  assert.deepEqual([change.added, change.changed.length, store.unreadIds()], [[], 1, ["m4"]]);
  store.take([newer(6, "m2", "m5")], all);                    // the one between was never here
  assert.deepEqual(texts(store), ["1", "6", "3"]);
  assert.deepEqual(store.take([item(2), newer(4, "m2")], all).changed, [], "what was replaced comes again, from another broker");
  assert.deepEqual(texts(store), ["1", "6", "3"]);
  store.addHistory([newer(7, "m2", "m6").message]);
  assert.deepEqual(texts(store), ["1", "7", "3"]);
  assert.equal(store.take([newer(9, "m8")], all).added.length, 1, "of what was never here it is news");
  assert.equal(store.shown(), "e9");
});

test("of two that replace the same one, the newer stands there, whichever comes first", () => {
  for (const order of [[5, 6], [6, 5]]) {
    const store = new Store();
    store.take([item(1), ...order.map((n) => newer(n, "m1"))], all);
    assert.deepEqual(texts(store), ["6"]);
  }
});

test("what was withdrawn is said in its place, and is not unread; what never came does not come later", () => {
  const store = new Store();
  store.take([item(1), newer(2, "m1"), item(3)], none);
  const { changed } = store.take([{ withdrawn: { topic: "news", id: "m2", original: "m1" }, eventId: "e4" }], none);
  assert.deepEqual(changed.map(({ withdrawn, message: { id } }) => [withdrawn, id]), [[true, "m2"]]);
  assert.deepEqual(store.unreadIds(), ["m3"]);
  assert.deepEqual(store.take([{ withdrawn: { topic: "news", id: "m9" }, eventId: "e5" }], none).changed, []);
  assert.equal(store.addHistory([message(9)]), false);
  const late = new Store();
  late.adopt(store.backlog());
  assert.deepEqual(late.records.map((record) => [record.message.data, record.withdrawn ?? false]), [["2", true], ["3", false]]);
  assert.equal(store.shown(), "e5");
});
