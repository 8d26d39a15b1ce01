// Messages that wait for their time: a time that is chosen in words, and the list of what waits, each with a way to take it back.

import { askAny, page } from "./brokers.js";
import { $, button, clock, element } from "./dom.js";
import { tell } from "./status.js";

const LISTED = 50;
const AFTER_MS = 2_000;          // what is due is published within a second or so
const AGAIN_MS = 10_000;
const LONGEST_MS = 86_400_000;   // a timer takes no more than 24 days
const LATE_MS = 3_600_000;       // as the broker has it (core/limits.py)
const AHEAD_MS = 30 * 86_400_000;

const sameDay = (one, other) => one.toDateString() === other.toDateString();

/** A time in a list: of today without the day. */
export function shortly(when, now = new Date()) {
  return sameDay(when, now) ? clock(when) : `${when.toLocaleDateString(undefined, { weekday: "short", day: "numeric", month: "short" })}, ${clock(when)}`;
}

/** What the time that is typed means, as a sentence with the zone; "" for none. */
export function inWords(typed, now = new Date()) {
  if (!typed) return "";
  const when = new Date(typed), ahead = when - now;
  if (ahead < -LATE_MS) return "This time has passed: choose a later one.";
  if (ahead > AHEAD_MS) return "A message waits for 30 days at most: choose an earlier time.";
  if (ahead <= 0) return "This time has passed: it is sent at once.";
  const day = when.toLocaleDateString(undefined, { weekday: "long", day: "numeric", month: "long" });
  const zone = new Intl.DateTimeFormat(undefined, { timeZoneName: "long" }).formatToParts(when).find((part) => part.type === "timeZoneName");
  return `Sent ${sameDay(when, now) ? "today" : `on ${day}`} at ${clock(when)}${zone ? `, ${zone.value}` : ""}.`;
}

/** The list below the form. */
export class Waits {
  #rows = []; #more = false; #timer = 0; #list = $("waits-list");

  /** Ask what waits. Where that is not told (a page that may only read), nothing is shown. */
  async load() {
    clearTimeout(this.#timer);
    try {
      const answer = await askAny("/messages", { scheduled: 1, limit: LISTED, ...(page.caller ? { username: page.caller } : {}) });
      [this.#rows, this.#more] = [answer.messages, answer.more];
    } catch (error) {
      if (error.final) this.#rows = [];
    }
    this.#show();
    if (!this.#rows.length) return;
    const left = new Date(this.#rows[0].due) - Date.now();
    this.#timer = setTimeout(() => this.load(), Math.min(left > 0 ? left + AFTER_MS : AGAIN_MS, LONGEST_MS));
  }

  get isEmpty() { return this.#rows.length === 0; }

  #show() {
    const count = this.#rows.length;
    $("waits").hidden = count === 0;
    $("waits-said").textContent = `${count}${this.#more ? " and more" : ""} ${count === 1 ? "message waits" : "messages wait"} to be sent`;
    this.#list.replaceChildren(...this.#rows.map((row) => this.#item(row)));
  }

  #item(row) {
    const item = element("li"), words = element("span"), when = new Date(row.due), time = element("time", "", shortly(when));
    Object.assign(time, { dateTime: row.due, title: when.toLocaleString() });
    words.append(time, ` ${row.topic} `, element("b", "", (row.title || row.data).trim().split("\n")[0]));
    const press = button("off", "Withdraw", () => this.#withdraw(row, press));
    press.setAttribute("aria-label", `Withdraw what waits for ${time.textContent} on ${row.topic}`);
    item.append(words, press);
    return item;
  }

  async #withdraw(row, press) {
    press.disabled = true;
    try {
      await askAny(`/messages/${row.id}`, {}, "DELETE");
      tell("Withdrawn: it is not sent.");
    } catch (error) {
      tell(`Not withdrawn: ${error.message}`, true);
    }
    await this.load();
    (this.#list.querySelector("button") ?? $("publish").elements.data).focus();
  }
}
