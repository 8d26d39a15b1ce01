// What is asked of brokers for older news, and back to when the page has all of a topic.

import assert from "node:assert/strict";
import { test } from "node:test";

import { History } from "./static/history.js";

const T0 = Date.parse("2026-01-01T12:00:00Z");
const at = (n) => T0 + n * 1_000;

/** A broker with `count` messages of topics `a` and `b` in turn, and a page that holds what it was given. */
function desk(count, page = 4) {
  const all = Array.from({ length: count }, (_, n) => ({ id: `m${n}`, topic: "ab"[n % 2], time: new Date(at(n)).toISOString() }));
  const asked = [], here = new Set();
  const history = new History(async ({ before, topic }) => {
    asked.push(before);
    const older = all.filter((one, n) => (!topic || one.topic === topic) && (before === "now" || n < Number(before))).reverse();
    const messages = older.slice(0, page), rest = older.length > page;
    return { messages, more: rest, ...(rest ? { next: messages.at(-1).id.slice(1) } : {}) };
  });
  const has = (id) => here.has(id);
  const take = (messages) => { for (const { id } of messages) here.add(id); return messages.map(({ id }) => Number(id.slice(1))); };
  return {
    history, asked, here,
    load: async (topic = "") => take(await history.load(topic, has)),
    older: async (topic = "") => take(await history.older(topic, has)),
    add: (n) => { all.push({ id: `m${n}`, topic: "a", time: new Date(at(n)).toISOString() }); },
  };
}

test("the newest first, then older ones until there are none", async () => {
  const { history, load, older } = desk(10);
  assert.equal(history.hasOlder(""), true, "nobody knows yet");
  assert.deepEqual(await load(), [6, 7, 8, 9]);
  assert.equal(history.since(""), at(6));
  assert.deepEqual([await older(), await older(), await older()], [[2, 3, 4, 5], [0, 1], []]);
  assert.equal(history.hasOlder(""), false);
  assert.equal(history.since("a"), -Infinity);
});

test("of a topic, what is here already is passed over, and all of it is here as far back as all news is", async () => {
  const { history, load, older, asked } = desk(20);
  await load();
  assert.equal(history.since("a"), at(16));
  assert.deepEqual(await older("a"), [12, 14, 16, 18].filter((n) => n % 2 === 0));
  assert.equal(history.since("a"), at(12));
  assert.equal(history.since(""), at(16), "of b there may be more between");
  assert.deepEqual(asked, ["now", "now"]);
  assert.deepEqual(await older("a"), [4, 6, 8, 10]);
});

test("loaded once more, it goes on where it was, unless messages are missing between", async () => {
  const { history, load, older, add } = desk(10);
  await load();
  await older();
  for (const n of [10, 11]) add(n);
  assert.deepEqual(await load(), [8, 9, 10, 11]);
  assert.equal(history.since(""), at(2));
  for (const n of [20, 21, 22, 23, 24]) add(n);
  await load();
  assert.equal(history.since(""), at(21), "20 is missing");
});

test("pages that bring nothing new are bounded", async () => {
  const { history, load, older, here, asked } = desk(100);
  for (let n = 0; n < 100; n++) here.add(`m${n}`);
  assert.deepEqual(await older(), []);
  assert.equal(asked.length, 5);
  assert.equal(history.hasOlder(""), true);
});

test("where all news is here, so is all of each topic", async () => {
  const { history, load, older } = desk(6);
  await load();
  assert.equal(history.hasOlder("a"), true);
  await older();
  assert.equal(history.hasOlder("a"), false);
});
