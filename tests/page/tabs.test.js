// Many tabs of one user in a browser where everything happens in any order: tabs open, close, freeze and are hidden, what one
// tells another arrives late, the stream breaks. Whatever happens, nothing is acknowledged that nobody was shown, nothing
// shows twice, and in the end every tab has all that came since it was opened.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Store } from "./static/store.js";
import { Tabs } from "./static/tabs.js";

const SCHEDULES = 300, STEPS = 120;

/** Numbers that come again with the same seed (mulberry32). */
function numbers(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

class World {
  now = 1_000_000; log = []; cursor = 0; tabs = []; held = null; waiting = []; steals = 0;
  constructor(seed) { this.random = numbers(seed); }
  pick(list) { return list[Math.floor(this.random() * list.length)]; }
  living() { return this.tabs.filter((tab) => !tab.dead); }

  // -- the broker: a log, and a cursor that only ever moves to what somebody was shown
  publish() { this.log.push({ id: `m${this.log.length + 1}`, topic: "news", data: "", time: new Date(this.log.length * 1_000).toISOString() }); }
  acknowledge(eventId) {
    const to = Number(eventId.slice(1));
    for (const message of this.log.slice(this.cursor, to)) {
      assert.ok(this.tabs.some((tab) => tab.displayed.has(message.id)), `${message.id} is acknowledged, and nobody was shown it`);
    }
    this.cursor = Math.max(this.cursor, to);
  }

  // -- the browser's lock: who holds it, and who waits in line
  locksOf(tab) {
    return {
      shared: true,
      hold: (names, { signal, steal }) => new Promise((done) => {
        if (steal) { this.steals++; this.held?.taken(); this.held = null; }
        const wish = { tab, done };
        signal.addEventListener("abort", () => {
          if (!this.waiting.includes(wish)) return;
          this.waiting = this.waiting.filter((other) => other !== wish);
          done(null);
        });
        if (steal) this.waiting.unshift(wish); else this.waiting.push(wish);
        this.grant();
      }),
      wanted: async () => this.waiting.length > 0,
    };
  }
  grant() {
    if (this.held || this.waiting.length === 0) return;
    const { tab, done } = this.waiting.shift();
    const held = { tab };
    const lost = new Promise((over) => { held.taken = over; });
    this.held = held;
    done({ lost, release: () => { if (this.held === held) { this.held = null; this.grant(); } } });
  }
  close(tab) {
    tab.dead = true;
    tab.reading = null;
    this.waiting = this.waiting.filter((wish) => wish.tab !== tab);
    if (this.held?.tab === tab) { this.held = null; this.grant(); }
  }
}

class Tab {
  store = new Store(); visible = false; dead = false; frozen = false; displayed = new Set(); inbox = []; looks = []; reading = null;

  constructor(world) {
    this.world = world;
    this.store.addHistory(world.log.slice());                 // /messages at its start
    const channel = { postMessage: (data) => this.#post(data), onmessage: null };
    this.hear = (data) => channel.onmessage({ data });
    this.tabs = new Tabs({
      channel,
      locks: world.locksOf(this), name: "stream", now: () => world.now, every: (look) => this.looks.push(look),
      on: {
        lead: (signal) => new Promise((done) => {
          this.open(signal);
          signal.addEventListener("abort", () => { this.reading = null; done(); });
        }),
        state: () => ({ text: "live" }), showState: () => {},
        take: (items) => { this.store.take(items, () => this.visible); this.show(); },
        backlog: () => structuredClone(this.store.backlog()),
        adopt: (backlog) => { this.store.adopt(backlog); this.show(); },
        shown: (id) => this.store.shownElsewhere(id),
        read: (ids) => this.store.markRead(ids),
      },
    });
    this.tabs.run();
  }

  #post(data) {
    for (const other of this.world.living()) if (other !== this) other.inbox.push([this, structuredClone(data)]);
  }

  /** A connection begins, at the place to go on from, or where the broker has the user. */
  open(signal) {
    const { place } = this.store;
    this.reading = { at: place ? Number(place.slice(1)) : this.world.cursor, signal };
    this.tabs.share([{ open: true }]);
    if (!place) this.store.addHistory(this.world.log.slice());   // what others have confirmed since its start
  }

  receive(count) {
    const { at } = this.reading, some = this.world.log.slice(at, at + count);
    this.reading.at += some.length;
    if (some.length) this.tabs.share(some.map((message, i) => ({ message, eventId: `e${at + i + 1}` })));
  }

  show() {
    if (!this.visible || this.dead) return;
    for (const { message } of this.store.records) this.displayed.add(message.id);
    const place = this.store.shown();
    if (!place) return;
    this.world.acknowledge(place);
    this.tabs.tell("shown", place);
  }
}

const settle = () => new Promise((done) => setImmediate(done));

/** Deliver one of the messages that wait: of one sender they stay in order, of several any may be first. */
function deliver(world) {
  const tab = world.pick(world.living().filter((one) => one.inbox.length && !one.frozen));
  if (!tab) return false;
  const sender = world.pick(tab.inbox)[0], at = tab.inbox.findIndex(([from]) => from === sender);
  tab.hear(tab.inbox.splice(at, 1)[0][1]);
  return true;
}

async function step(world) {
  const dice = world.random(), living = world.living(), tab = world.pick(living), leader = living.find((one) => one.reading);
  world.now += 500;
  if (dice < 0.2) world.publish();
  else if (dice < 0.5) deliver(world);
  else if (dice < 0.52) { if (tab?.inbox.length) tab.inbox.splice(Math.floor(world.random() * tab.inbox.length), 1); }   // lost
  else if (dice < 0.65) { if (leader && !leader.frozen) leader.receive(1 + Math.floor(world.random() * 3)); }
  else if (dice < 0.72) { if (living.length < 5) world.tabs.push(new Tab(world)); }
  else if (dice < 0.75) { if (tab) world.close(tab); }
  else if (dice < 0.85) { if (tab && !tab.frozen) { tab.visible = !tab.visible; tab.show(); } }
  else if (dice < 0.88) { if (leader && !leader.frozen) leader.open(leader.reading.signal); }
  else if (dice < 0.91) { if (tab) tab.frozen = !tab.frozen; }   // it hangs, and gives nothing back
  else for (const one of living) if (!one.frozen) for (const look of one.looks) look();
  await settle();
}

async function calm(world) {
  for (const tab of world.living()) tab.frozen = false;
  if (world.living().length === 0) world.tabs.push(new Tab(world));
  world.living()[0].visible = true;
  for (let round = 0; round < 80; round++) {
    world.now += 1_000;
    for (const tab of world.living()) for (const look of tab.looks) look();
    while (deliver(world)) await settle();
    for (const tab of world.living()) { if (tab.reading) tab.receive(100); tab.show(); }
    await settle();
  }
}

test(`${SCHEDULES} schedules`, async () => {
  let steals = 0;
  for (let seed = 1; seed <= SCHEDULES; seed++) {
    const world = new World(seed);
    world.tabs.push(new Tab(world));
    for (let i = 0; i < STEPS; i++) await step(world);
    await calm(world);
    const living = world.living();
    assert.equal(living.filter((tab) => tab.reading).length, 1, `seed ${seed}: one tab reads the stream`);
    assert.equal(world.cursor, world.log.length, `seed ${seed}: all is acknowledged`);
    for (const tab of living) {
      assert.deepEqual(tab.store.records.map(({ message }) => message.id), world.log.map(({ id }) => id), `seed ${seed}: each tab has all, once`);
    }
    steals += world.steals;
  }
  assert.ok(steals > 0, "some leaders were given up");
});
