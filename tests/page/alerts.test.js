import assert from "node:assert/strict";
import { test } from "node:test";
import { Alerts, NEVER, levelOf, readSettings } from "./static/alerts.js";

const BOTH = { desktop: true, sound: true, from: 1, topics: {} };
const record = (n, more = {}) => ({ message: { id: `m${n}`, topic: "news", data: `${n}`, ...more }, at: 1_000_000 });

/** Tabs of one user in a browser, whose timers run when `pass` says so; the first leads. */
class Browser {
  now = 1_000_000; timers = []; tabs = []; read = new Set();

  open(more = {}) {
    const tab = { leads: this.tabs.length === 0, looked: false, plays: true, shown: [], played: [], settings: BOTH, ...more };
    const channel = { postMessage: (data) => { for (const other of this.tabs) if (other !== tab && !other.dead) other.channel.onmessage({ data }); } };
    tab.channel = channel;
    tab.alerts = new Alerts({
      channel,
      now: () => this.now,
      later: (act, ms) => this.timers.push({ at: this.now + ms, act: () => { if (!tab.dead) act(); } }),
      on: {
        settings: () => tab.settings, leads: () => tab.leads, isUnread: (id) => !this.read.has(id), isLookedAt: () => tab.looked,
        canPlay: () => tab.plays, show: (messages) => tab.shown.push(...messages.map(({ id }) => id)), play: (isHigh) => tab.played.push(isHigh),
      },
    });
    this.tabs.push(tab);
    return tab;
  }

  stream(...records) { for (const tab of this.tabs) if (!tab.dead) tab.alerts.consider(records); }

  pass(ms = 20_000) {
    for (const end = this.now + ms; ;) {
      this.timers.sort((a, b) => a.at - b.at);
      if (!this.timers.length || this.timers[0].at > end) return void (this.now = end);
      const { at, act } = this.timers.shift();
      this.now = at;
      act();
    }
  }

  get shown() { return this.tabs.flatMap((tab) => tab.shown).sort(); }
  get played() { return this.tabs.flatMap((tab) => tab.played); }
}

test("one notification a message over all tabs, by the tab that leads, and one sound", () => {
  const browser = new Browser(), leader = browser.open();
  for (let n = 0; n < 19; n++) browser.open();
  browser.stream(record(1), record(2));
  browser.pass();
  browser.stream(record(3, { priority: 5 }));
  browser.pass();
  assert.deepEqual([leader.shown, browser.shown], [["m1", "m2", "m3"], ["m1", "m2", "m3"]]);
  assert.deepEqual(browser.played, [false, true]);
  assert.equal(browser.timers.length, 0, "nothing goes on");
});

test("nothing of what is read, what was missed long ago, or while somebody looks at any of the tabs", () => {
  const browser = new Browser();
  browser.open();
  const other = browser.open();
  browser.stream(record(1), record(2), { ...record(3), at: 300_000 }, { gap: { topic: "news", dropped: 1 }, at: 1_000_000 });
  browser.read.add("m1");
  browser.pass();
  assert.deepEqual(browser.shown, ["m2"]);
  other.looked = true;
  browser.stream({ ...record(4), at: browser.now });
  browser.pass();
  other.looked = false;
  browser.pass();
  assert.deepEqual([browser.shown, browser.played], [["m2"], [false]]);
});

test("what comes while the tabs answer is told by the next answers", () => {
  const browser = new Browser();
  browser.open();
  const other = browser.open({ looked: true });
  browser.stream(record(1));
  browser.pass(1_100);
  other.looked = false;
  browser.stream(record(2));
  browser.pass();
  assert.deepEqual(browser.shown, ["m2"]);
});

test("another tab tells when the one that leads is gone before it told; and not again when after", () => {
  for (const [before, expected] of [[900, ["m1"]], [1_100, ["m1"]], [1_400, []]]) {
    const browser = new Browser(), leader = browser.open(), next = browser.open();
    browser.stream(record(1));
    browser.pass(before);
    Object.assign(leader, { dead: true, leads: false });
    browser.pass(50);
    next.leads = true;
    browser.pass();
    assert.deepEqual(next.shown, expected, `${before} ms`);
    assert.deepEqual(browser.shown, ["m1"]);
  }
});

test("the sound comes from a tab that the browser lets sound, whichever leads", () => {
  const browser = new Browser(), leader = browser.open({ plays: false });
  browser.open({ plays: false });
  const third = browser.open();
  browser.open();
  browser.stream(record(1));
  browser.pass();
  assert.deepEqual([leader.shown, third.played, browser.played], [["m1"], [false], [false]]);
  leader.settings = { ...BOTH, sound: false };
  browser.stream({ ...record(2), at: browser.now });
  browser.pass();
  assert.deepEqual([leader.shown, browser.played], [["m1", "m2"], [false]]);
});

test("topics and priorities: the topic's own level, else of the longest pattern, else of all", () => {
  const settings = { from: 4, topics: { "team.>": NEVER, "team.red": 1, "team.*.x": 5 } };
  const levels = ["news", "team.blue", "team.red", "team.a.x", "toString"].map((topic) => levelOf(settings, topic));
  assert.deepEqual(levels, [4, NEVER, 1, 5, 4]);
  const browser = new Browser(), tab = browser.open({ settings: { ...BOTH, ...settings } });
  browser.stream(record(1), record(2, { priority: 4 }), record(3, { topic: "team.blue", priority: 5 }), record(4, { topic: "team.red", priority: 1 }));
  browser.pass();
  assert.deepEqual(tab.shown, ["m2", "m4"]);
});

test("settings are read whatever a browser kept", () => {
  const none = { desktop: false, sound: false, from: 1, topics: {} };
  for (const text of [null, "", "{", "[]", "7", '{"desktop":"yes","from":"x","topics":"a"}', "x".repeat(70_000)]) assert.deepEqual(readSettings(text), none, text);
  assert.deepEqual(readSettings(JSON.stringify({ ...BOTH, topics: { a: NEVER, b: 2 } })), { ...BOTH, topics: { a: NEVER } });
});
