// Acknowledging: each tab that somebody sees tells a broker, and the other tabs, up to where it has shown all. Pure: `on` asks.

import { pause } from "./waiting.js";

const ACK_MS = 500;              // between two acknowledgements
const AGAIN_MS = 5_000;          // after one that no broker answered

export class Acknowledger {
  #on; #shown = ""; #confirmed = ""; #running = false;

  /** `on.post(eventId)` asks a broker; `on.confirmed(eventId)`, `on.refused(error)`, `on.unanswered()` say how that went. */
  constructor(on) { this.#on = on; }

  /** All up to `eventId` is in a page that somebody sees. */
  async shown(eventId) {
    this.#shown = eventId;
    if (this.#running) return;
    this.#running = true;
    while (this.#shown !== this.#confirmed) {
      const id = this.#shown;
      try {
        await this.#on.post(id);
        this.#confirmed = id;
        this.#on.confirmed(id);
        await pause(ACK_MS);
      } catch (error) {
        if (error.final) {                                    // not registered any more, say: the next is tried again
          this.#confirmed = id;
          this.#on.refused(error);
        } else {
          this.#on.unanswered();
          await pause(AGAIN_MS);                              // or the next stream says it, by where it starts
        }
      }
    }
    this.#running = false;
  }
}
