// Locks that the tabs of one browser share: the browser's own (Web Locks), or leases where it has none. Web Locks need a
// secure context (https, or localhost), and most brokers are plain http. A lease is a promise only: two tabs can hold one
// for a moment, and then both stream, which costs a connection and loses nothing.
//
// Both: `hold(names, { signal, steal })` waits for the first of `names` that is free and gives
// `{ name, lost, release() }`, `lost` a promise that ends if another tab took it away; null once `signal` is aborted.
// `wanted(names)` says whether some tab waits for one of them; `shared` whether other tabs respect them.

const LEASE_MS = 12_000;         // two keepalives and a bit: a hidden tab's timers come late, what it receives does not
const RENEW_MS = 1_000;
const COUNT_MS = 300;            // for all tabs to answer

export class WebLocks {
  shared = true;
  #locks;
  constructor(locks) { this.#locks = locks; }

  async hold(names, { signal, steal = false } = {}) {
    if (steal) return this.#request(names[0], { steal: true });
    for (const name of names) {
      const hold = await this.#request(name, { ifAvailable: true });
      if (hold) return hold;
    }
    return this.#firstFree(names, signal);
  }

  async #firstFree(names, signal) {
    const over = new AbortController(), until = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
    let first = null;
    const each = names.map(async (name) => {
      const hold = await this.#request(name, { signal: until });
      if (!hold) return;
      if (first || signal?.aborted) return void hold.release();
      first = hold;
      over.abort();
    });
    await Promise.race([Promise.all(each), new Promise((done) => over.signal.addEventListener("abort", done))]);
    return first;
  }

  #request(name, options) {
    return new Promise((done) => {
      let lost;
      const end = new Promise((over) => { lost = over; });
      this.#locks.request(name, options, (lock) => {
        if (!lock) return void done(null);
        return new Promise((release) => done({ name, lost: end, release }));
      }).catch(() => { done(null); lost(); });                // it was aborted, or taken away
    });
  }

  async wanted(names) {
    return (await this.#locks.query()).pending.some(({ name }) => names.includes(name));
  }
}

export class Leases {
  shared = true;
  #storage; #id = Math.random().toString(36).slice(2);
  constructor(storage) { this.#storage = storage; }

  async hold(names, { signal, steal = false } = {}) {
    if (!steal && await this.wanted(names)) await wait(1.5 * RENEW_MS, signal);   // who waits goes first
    for (;;) {
      if (signal?.aborted) return null;
      for (const name of names) {
        if (!steal && !this.#free(name)) continue;
        this.#write(name);
        await wait(50 + Math.random() * 100);                 // another tab may have written at the same moment: the last one has it
        if (this.#read(name)?.by === this.#id) return this.#keep(name);
      }
      this.#storage.setItem(wish(names), JSON.stringify({ by: this.#id, until: Date.now() + 5 * RENEW_MS }));
      await wait(RENEW_MS, signal);
    }
  }

  #keep(name) {
    let lost;
    const end = new Promise((over) => { lost = over; });
    const renew = () => {
      const lease = this.#read(name);
      if (lease && lease.by !== this.#id) { clearInterval(timer); lost(); } else this.#write(name);
    };
    const timer = setInterval(renew, RENEW_MS);
    const release = () => {
      clearInterval(timer);
      removeEventListener("pagehide", release);
      if (this.#read(name)?.by === this.#id) this.#storage.removeItem(key(name));
    };
    addEventListener("pagehide", release);
    return { name, lost: end, release, renew };
  }

  async wanted(names) {
    const lease = parse(this.#storage.getItem(wish(names)));
    return Boolean(lease && lease.by !== this.#id && lease.until > Date.now());
  }

  #free(name) {
    const lease = this.#read(name);
    return !lease || lease.by === this.#id || lease.until < Date.now() || lease.until > Date.now() + 2 * LEASE_MS;   // a clock set back
  }
  #read(name) { return parse(this.#storage.getItem(key(name))); }
  #write(name) { this.#storage.setItem(key(name), JSON.stringify({ by: this.#id, until: Date.now() + LEASE_MS })); }
}

/**
 * Where a browser gives neither: each tab has all that it asks for, a stream of its own. Only of several places, which are
 * what all pages of the browser have together, none is taken while as many tabs say that they have one.
 */
export class Census {
  shared = false;
  #channel; #id = Math.random(); #holds = false; #others = 0;

  constructor(channel) {
    this.#channel = channel;
    channel.onmessage = ({ data: { asks, answers } }) => {
      if (answers === this.#id) this.#others++;
      if (asks && this.#holds) channel.postMessage({ answers: asks });
    };
  }

  async hold(names, { signal } = {}) {
    const never = new Promise(() => {});
    if (names.length === 1) return { name: names[0], lost: never, release() {} };
    while (!signal?.aborted) {
      this.#others = 0;
      this.#channel.postMessage({ asks: this.#id });
      await wait(COUNT_MS, signal);
      if (this.#others < names.length) {
        this.#holds = true;
        return { name: names[0], lost: never, release: () => { this.#holds = false; } };
      }
      await wait(RENEW_MS, signal);
    }
    return null;
  }

  async wanted() { return false; }
}

export function locksOf(window) {
  try {
    if (window.navigator.locks) return new WebLocks(window.navigator.locks);
    window.localStorage.setItem("newswire:lock:test", "");
    window.localStorage.removeItem("newswire:lock:test");
    return new Leases(window.localStorage);
  } catch {                                                   // storage is switched off
    return new Census(new window.BroadcastChannel("newswire places"));
  }
}

const key = (name) => `newswire:lock:${name}`;
const wish = (names) => `newswire:wish:${names[0]}`;

function parse(text) {
  try { return JSON.parse(text); } catch { return null; }
}

function wait(ms, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
  });
}
