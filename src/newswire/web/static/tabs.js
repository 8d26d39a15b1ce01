// One stream for all tabs of a user. A tab *leads* while it holds the user's lock: it reads the stream and passes on, over a
// channel that all tabs hear, what comes and how the connection stands. The others follow. When the leader closes, crashes,
// freezes or finds no broker, the next one leads, from the place up to which some tab has shown all.
//
// A follower takes the pieces of one leader (its `term`) in order (`n`). When one is missing, and when another leads, it asks
// for the leader's backlog: what the last leader said may come after the next one's first word, or not at all. So whoever
// shows the last piece has shown all before it, and may acknowledge it.
//
// No page and no network here: both come in as `on` and `channel`.

const LOOK_MS = 1_000;
const ALIVE_MS = 2_500;          // the leader says that it lives: no oftener,
const LEADER_SILENT_MS = 20_000; // and after this long without a word from it another tab leads,
const WELCOME_MS = 4_000;        // or after this, where none has answered yet
const ASK_AGAIN_MS = 1_000;

/**
 * `on` has
 *   lead(signal)      read the stream until `signal` is aborted, or until there is a reason to let another tab try;
 *   state()           how the connection stands, as plain data; showState(state): show it;
 *   take(items)       what the stream brought, at the leader too;
 *   backlog()         for a tab that opens later; adopt(backlog): at that tab;
 *   shown(eventId), read(ids), topics(topic), leave(address), hurry()   what another tab tells all.
 */
export class Tabs {
  #channel; #locks; #name; #on; #now; #every;
  #id = Math.random().toString(36).slice(2);
  #leading = null;               // { term, n, stop, hold }
  #following = null;             // { term, next }, null until a leader has welcomed this tab
  #candidate = new AbortController();
  #steal = false;
  #heard; #looked; #asked = -Infinity; #told = -Infinity;
  #patience = Math.random() * 2_000;   // not all followers at once

  constructor({ channel, locks, name, on, now = Date.now, every = (act, ms) => setInterval(act, ms) }) {
    this.#channel = channel; this.#locks = locks; this.#name = name; this.#on = on;
    this.#now = now; this.#every = every;
    this.#heard = this.#looked = now();
  }

  get leads() { return this.#leading !== null; }

  /** Follow, and lead when it is this tab's turn, for ever. */
  async run() {
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.#join();
    this.#every(() => this.#look(), LOOK_MS);
    for (;;) {
      this.#candidate = new AbortController();
      const steal = this.#steal;
      this.#steal = false;
      const hold = await this.#locks.hold([this.#name], { signal: this.#candidate.signal, steal });
      if (hold) await this.#lead(hold);
    }
  }

  async #lead(hold) {
    const stop = new AbortController();
    this.#leading = { term: this.#now() + Math.random(), n: 0, stop, hold };
    this.#following = null;
    hold.lost.then(() => stop.abort());
    this.#post({ type: "lead", term: this.#leading.term, state: this.#on.state() });
    await this.#on.lead(stop.signal);
    this.#leading = null;
    this.#heard = this.#now();
    hold.release();
  }

  // -- what the page calls -------------------------------------------------------------------------------------------------

  /** The leader has received this. */
  share(items) {
    if (!this.#leading) return;
    this.#post({ type: "news", term: this.#leading.term, n: this.#leading.n++, items });
    this.#on.take(items);
  }

  /** The connection stands otherwise than before, or the leader has a sign of life (`hurried` false). */
  tellState(hurried = true) {
    if (!this.#leading || (!hurried && this.#now() - this.#told < ALIVE_MS)) return;
    this.#leading.hold.renew?.();
    this.#told = this.#now();
    this.#post({ type: "state", term: this.#leading.term, state: this.#on.state() });
  }

  tell(type, value) { this.#post({ type, value }); }

  /** The leader finds no broker: perhaps another tab does. */
  async giveWay() {
    if (this.#leading && await this.#locks.wanted([this.#name])) this.#leading?.stop.abort();
  }

  /** The browser stops this tab; it may not get another word out. */
  freeze() {
    this.#leading?.stop.abort();
    this.#leading?.hold.release();
  }

  /** And goes on: what was said meanwhile it may have missed. */
  thaw() {
    this.#heard = this.#now();
    if (!this.#leading) this.#join();
  }

  // -- what other tabs say -------------------------------------------------------------------------------------------------

  #hear(said) {
    const { type, value, term } = said;
    if (type === "shown" || type === "read" || type === "topics" || type === "leave" || type === "hurry") return void this.#on[type](value);
    if (!this.#locks.shared) return;                          // each tab has a stream of its own
    if (type === "hello") return void this.#welcome(said.from);
    if (this.#leading) {
      if (term > this.#leading.term) this.#leading.stop.abort();     // it was taken for dead
      return;
    }
    if (term < (this.#following?.term ?? 0) || (type === "welcome" && said.to !== this.#id)) return;
    this.#heard = this.#now();
    if (type === "lead") this.#join(true);
    if (type === "welcome") {
      this.#following = { term, next: said.n };
      this.#on.adopt(said.backlog);
    }
    if (type === "news") this.#follow(said);
    else this.#on.showState(said.state);
  }

  #follow({ term, n, items }) {
    if (term !== this.#following?.term || n > this.#following.next) return this.#join();
    if (n < this.#following.next) return;                     // of before the welcome
    this.#following.next++;
    this.#on.take(items);
  }

  #welcome(to) {
    if (!this.#leading) return;
    const { term, n } = this.#leading;
    this.#post({ type: "welcome", to, term, n, state: this.#on.state(), backlog: this.#on.backlog() });
  }

  #join(atOnce = false) {
    this.#following = null;
    if (!atOnce && this.#now() - this.#asked < ASK_AGAIN_MS) return;
    this.#asked = this.#now();
    this.#post({ type: "hello" });
  }

  #look() {
    const since = this.#now() - this.#looked;
    this.#looked = this.#now();
    if (this.#leading) return this.tellState(false);
    if (since > 4 * LOOK_MS) this.#heard = this.#now();       // it was this tab that slept
    if (!this.#following) this.#join();
    const patience = (this.#following ? LEADER_SILENT_MS : WELCOME_MS) + this.#patience;
    if (this.#now() - this.#heard < patience) return;
    this.#heard = this.#now();
    this.#steal = true;
    this.#candidate.abort();
  }

  #post(said) { this.#channel.postMessage({ ...said, from: this.#id }); }
}
