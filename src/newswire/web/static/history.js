// What was published before: the newest of it when the page opens, and older news as somebody scrolls up. Pure: `ask` asks.
//
// A page of `/messages?before=` is the newest first, and says where the next one begins. What the page holds of a topic or pattern is
// whole back to where that last ended; of older news it may have some, of another one of them.

import { matches } from "./names.js";

const FIRST = 300;               // messages when the page opens: more than a screen, and less than a moment
const OLDER = 200;               // and each time that somebody has scrolled to the top
const TRIES = 5;                 // pages that bring nothing new, as messages were here already

export class History {
  #ask;
  #ends = new Map();             // topic or pattern, "" for all -> { next: where older ones begin, "" for none; since: ms }

  /** `ask(fields)` gives a page of `/messages`. */
  constructor(ask) { this.#ask = ask; }

  /** The newest messages (of `topic`, or of all), in their order. `has(id)`: whether one is here already. */
  async load(topic, has) {
    const page = await this.#ask({ before: "now", limit: FIRST, ...(topic ? { topic } : {}) });
    if (!this.#ends.has(topic) || !page.messages.some(({ id }) => has(id))) this.#note(topic, page);
    return page.messages.reverse();
  }

  /** Older ones than are here of `topic`; [] where there are none. */
  async older(topic, has) {
    for (let tries = 0; tries < TRIES && this.hasOlder(topic); tries++) {
      const page = await this.#ask({ before: this.#ends.get(topic)?.next ?? "now", limit: OLDER, ...(topic ? { topic } : {}) });
      this.#note(topic, page);
      if (page.messages.some(({ id }) => !has(id))) return page.messages.reverse();
    }
    return [];
  }

  hasOlder(topic) { return !this.#about(topic).some(({ next }) => next === ""); }

  /** From when on (ms) all of `topic` is here; -Infinity where that is not known, or all is. */
  since(topic) {
    const known = this.#about(topic).map(({ since }) => since);
    return known.length ? Math.min(...known) : -Infinity;
  }

  /** What is known of `topic`: by itself, or as part of others. */
  #about(topic) {
    return [...this.#ends].filter(([other]) => other === topic || matches(other, topic)).map(([, end]) => end);
  }

  #note(topic, { messages, next }) {
    const times = messages.map(({ time }) => Date.parse(time)), before = this.#ends.get(topic)?.since ?? Infinity;
    this.#ends.set(topic, { next: next ?? "", since: next ? Math.min(...times, times.length ? Infinity : before) : -Infinity });
  }
}
