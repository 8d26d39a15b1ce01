// What is told to somebody who does not look at the page: which messages, by which of the tabs, and once. Pure: no page, no clock
// of its own; `on` shows and sounds.
//
// Every tab of a user considers what the stream brings. A second later the tab that leads asks all tabs whether somebody looks at
// one of them. If nobody does, it tells what is still unread, and says so to the others, which forget it. A tab that begins to lead
// in between does the same in its place.

import { matches } from "./names.js";

const WAIT_MS = 1_000;           // for a tab that shows it to say that it is read
const ANSWER_MS = 300;           // for the other tabs to answer
const LOOKS = 5;                 // of a tab that does not lead: by then the one that leads has told, or another leads
const LATE_MS = 600_000;         // what is older was missed, and waits in the page
const ORDINARY = 3, HIGH = 4;    // priorities
const TEXT_CHARS = 65_536;       // of settings, as a browser keeps them

export const NEVER = 9;          // above every priority

/** From which priority on a message is told, in words. */
export const LEVELS = [[1, "every message"], [ORDINARY, "usual priority and higher"], [HIGH, "high and highest"], [5, "highest only"], [NEVER, "nothing"]];

const isLevel = (value) => LEVELS.some(([level]) => level === value);

/** Settings from the text that a browser keeps, whatever it is: `{ desktop, sound, from, topics }`, `topics` from name or pattern to level. */
export function readSettings(text) {
  let said = null;
  try { said = text && text.length <= TEXT_CHARS ? JSON.parse(text) : null; } catch { /* as if there were none */ }
  const topics = Object.entries(said?.topics ?? {}).filter(([, level]) => isLevel(level));
  return { desktop: said?.desktop === true, sound: said?.sound === true, from: isLevel(said?.from) ? said.from : 1, topics: Object.fromEntries(topics) };
}

/** From which priority on messages of `topic` are told: by its own level, else by that of the longest pattern, else by that of all. */
export function levelOf({ from, topics }, topic) {
  if (Object.hasOwn(topics, topic)) return topics[topic];
  const patterns = Object.keys(topics).filter((pattern) => matches(pattern, topic)).sort((a, b) => b.length - a.length);
  return patterns.length ? topics[patterns[0]] : from;
}

/**
 * `on` has settings(); leads(): whether this tab reads the stream; isUnread(id); isLookedAt(): somebody looks at this tab;
 * canPlay(): the browser lets this tab sound; show(messages), play(isHigh).
 */
export class Alerts {
  #channel; #on; #now; #later;
  #id = Math.random().toString(36).slice(2);
  #pending = new Map();          // message id -> { message, looks }
  #round = null;                 // { ids, looked, player } while the other tabs answer
  #timer = false;

  constructor({ channel, on, now = Date.now, later = (act, ms) => setTimeout(act, ms) }) {
    this.#channel = channel; this.#on = on; this.#now = now; this.#later = later;
    channel.onmessage = ({ data }) => this.#hear(data);
  }

  /** Records that the stream has just brought. */
  consider(records) {
    const settings = this.#on.settings(), now = this.#now();
    if (!settings.desktop && !settings.sound) return;
    for (const { message, at } of records) {
      if (!message || now - at > LATE_MS || (message.priority ?? ORDINARY) < levelOf(settings, message.topic)) continue;
      this.#pending.set(message.id, { message, looks: 0 });
    }
    this.#lookLater();
  }

  #lookLater() {
    if (this.#timer || this.#pending.size === 0) return;
    this.#timer = true;
    this.#later(() => this.#look(), WAIT_MS);
  }

  #look() {
    this.#timer = false;
    this.#forget();
    if (this.#pending.size === 0 || this.#round) return;
    if (!this.#on.leads()) return this.#waitToLead();
    this.#round = { ids: [...this.#pending.keys()], looked: this.#on.isLookedAt(), player: this.#on.canPlay() ? this.#id : "" };
    this.#post({ type: "ask" });
    this.#later(() => this.#tell(), ANSWER_MS);
  }

  #waitToLead() {
    for (const [id, one] of this.#pending) if (++one.looks === LOOKS) this.#pending.delete(id);
    this.#lookLater();
  }

  #forget() {
    for (const id of this.#pending.keys()) if (!this.#on.isUnread(id)) this.#pending.delete(id);
  }

  #tell() {
    const { ids, looked, player } = this.#round, settings = this.#on.settings();
    this.#round = null;
    this.#forget();
    const messages = ids.map((id) => this.#pending.get(id)?.message).filter(Boolean);   // what came since is another matter
    for (const id of ids) this.#pending.delete(id);
    this.#lookLater();
    if (messages.length === 0) return;
    const isHigh = messages.some(({ priority }) => priority >= HIGH);
    const sounds = settings.sound && !looked;
    this.#post({ type: "told", ids: messages.map(({ id }) => id), player: sounds ? player : "", isHigh });
    if (settings.desktop && !looked) this.#on.show(messages);
    if (sounds && player === this.#id) this.#on.play(isHigh);
  }

  #hear({ type, from, to, ids, looked, plays, player, isHigh }) {
    if (type === "ask") this.#post({ type: "answer", to: from, looked: this.#on.isLookedAt(), plays: this.#on.canPlay() });
    if (type === "answer" && to === this.#id && this.#round) {
      this.#round.looked ||= looked;
      this.#round.player ||= plays ? from : "";
    }
    if (type !== "told") return;
    for (const id of ids) this.#pending.delete(id);
    if (player === this.#id) this.#on.play(isHigh);
  }

  #post(said) { this.#channel.postMessage({ ...said, from: this.#id }); }
}
