// The news that a tab holds: what came, what was seen, what may be acknowledged. Pure: no page, no network, no clock.
//
// How nothing is lost and nothing shows twice. The stream is read with `ack=client`: a broker takes a message for delivered
// only when a tab that showed it to somebody says so. A connection that ends is made again, at the same broker or another, by
// this tab or another, from the last event id that may be acknowledged (naming a later one would acknowledge it); what comes
// twice is known by its message id. History (/messages) is only shown, and moves nothing.
//
// A message is *unread* when it came while nobody could see it: before the page was open, in a hidden tab, below the fold.
// It is read once it was on the screen for a while, in any tab. "New since" stands before the first that is unread.

import { matches } from "./names.js";

const IN_MEMORY = 20_000;
const IN_MEMORY_CHARS = 32_000_000;
const IN_MEMORY_LEAST = 1_500;   // messages that are kept however long they are: the most that are in the page
const RECENT = 300;              // messages that a tab gets from another when it opens
const IDS = 200_000;             // message ids remembered: more than a broker sends again

/**
 * A record is `{ message | gap, topic, at (ms), streamed, epoch, unread, withdrawn, isGone }`; `epoch` is the current one from "new since" on.
 * A message that takes the place of others stands where the first of them stood that was here, so `at` may be older than its time.
 */
export class Store {
  records = [];                  // in the order of the page
  undelivered = 0;               // messages that the stream still brings from before the page was open
  place = "";                    // event id up to which some tab has shown all
  #limits;
  #chars = 0;
  #known = new Map();            // message id -> its record, also of one that was replaced; null when that has left memory
  #unread = new Map();           // topic -> unread messages
  #unreadElsewhere = new Set();  // message ids that another tab has as unread and this one does not hold yet
  #readElsewhere = new Set();    // message ids that another tab has shown to somebody before they came here
  #waitingGaps = [];             // told, and no message has followed them yet
  #epoch = 0;                    // grows with each "new since"
  #unshown = [];                 // what the stream brought since `place`: { eventId, id | gap }

  constructor(limits = {}) {
    this.#limits = { messages: IN_MEMORY, chars: IN_MEMORY_CHARS, least: IN_MEMORY_LEAST, ids: IDS, ...limits };
  }

  /** What is in memory and belongs to `pattern`, in the order of the page. */
  passing(pattern) {
    return this.records.filter((record) => matches(pattern, record.topic));
  }

  isNew(record) { return this.#epoch > 0 && record.epoch === this.#epoch; }

  has(id) { return this.#known.has(id); }

  // -- what comes --------------------------------------------------------------------------------------------------------

  /**
   * Messages of /messages, which are shown and move nothing. Says whether any was new.
   * `areOlder`: than all that are here, also where stamps are the same, as those of a batch are.
   */
  addHistory(messages, areOlder = false) {
    const more = messages.filter(({ id }) => !this.#known.has(id)), before = this.records.length;
    if (more.length === 0) return false;
    for (const message of more) {
      const record = this.#inPlace(message) ?? this.#remember(message);
      if (this.#unreadElsewhere.delete(message.id)) this.#markUnread(record);
    }
    if (areOlder) this.records.unshift(...this.records.splice(before));
    this.#sortByTime();
    this.#forget();
    return true;
  }

  /**
   * Items of the stream, in its order: `{ open: true }` where a connection begins, `{ caughtUp: true }` when
   * all that was due has come, `{ message, eventId }`,
   * `{ gap, eventId, at }` (`at`: ms, when it came), `{ withdrawn: { id, original }, eventId }`.
   * `attended(record)`: whether it is seen as it comes.
   * Gives the records that are new, those that say something else than before, whether the page must be drawn anew, and
   * whether "new since" moved.
   */
  take(items, attended) {
    const epoch = this.#epoch;
    const change = { added: [], changed: [], redraw: false, sort: false, newLine: false };
    for (const item of items) {
      if (item.open) { this.#unshown = []; continue; }     // what nobody has shown comes again
      if (item.caughtUp) { this.undelivered = 0; continue; }
      this.#unshown.push(item.message ? { eventId: item.eventId, id: item.message.id } : item);
      if (item.withdrawn) { this.#withdraw(item.withdrawn, change); continue; }
      const record = item.message ? this.#takeMessage(item.message, attended, change) : this.#takeGap(item);
      if (record) change.added.push(record);
    }
    if (change.sort) { this.#sortByTime(); change.redraw = true; }
    this.#forget();
    change.newLine = this.#epoch !== epoch;
    return change;
  }

  #takeMessage(message, attended, change) {
    let record = this.#known.get(message.id);
    if (record === undefined && this.#inPlace(message)) return this.#takeChanged(message, attended, change);
    const here = record !== undefined, last = this.records.at(-1);
    if (record === null || record?.streamed) {              // it came before, perhaps from another broker,
      this.#dropWaitingGaps(change);                          // and so did what stands before it
      return null;
    }
    record ??= this.#remember(message);
    record.streamed = true;
    const before = this.undelivered > 0;
    if (before) this.undelivered--;
    const unread = this.#unreadElsewhere.delete(message.id) || before || !attended(record);
    if (!this.#readElsewhere.delete(message.id) && unread) this.#markUnread(record);
    record.epoch = this.#epoch;
    if (here || this.#waitingGaps.length) change.redraw = true;
    else if (last && !last.streamed && last.at > record.at) change.sort = true;   // older than what history brought
    if (here && this.#waitingGaps.length) {                 // these stand before it
      this.#takeOut(this.#waitingGaps);
      this.records.splice(this.records.indexOf(record), 0, ...this.#waitingGaps);
    }
    for (const gap of this.#waitingGaps) Object.assign(gap, { at: record.at, epoch: this.#epoch });
    this.#waitingGaps = [];
    return here ? null : record;
  }

  /** The message stands in the place of one that is here: what was shown of that is not true any more. */
  #takeChanged(message, attended, change) {
    const record = this.#known.get(message.id);
    record.streamed = true;
    const before = this.undelivered > 0;
    if (before) this.undelivered--;
    this.#waitingGaps = [];                                   // these stay where they are: nothing new follows them
    if (this.#unreadElsewhere.delete(message.id) || before || !attended(record)) this.#markUnread(record);
    change.changed.push(record);
    return null;
  }

  /** Put `message` in the place of the one here that it replaces, itself or by others; the newer one stays. Gives the record. */
  #inPlace(message) {
    const record = message.original ? this.#standing(message.original, message.replaces) : null;
    if (!record) return null;
    this.#known.set(message.id, record);
    if (record.message.time <= message.time) {
      this.#chars += message.data.length - record.message.data.length;
      record.message = message;
    }
    return record;
  }

  /** The record of a message that is here and stands for the first of these ids that is known. */
  #standing(...ids) {
    return ids.map((id) => this.#known.get(id)).find((record) => record && !record.isGone);
  }

  #withdraw({ id, original }, change) {
    const record = this.#standing(id, ...(original ? [original] : []));
    if (!record) return void this.#known.set(id, null);       // an older page of a broker may bring it yet
    this.#known.set(id, record);
    this.#markRead(record);
    record.withdrawn = true;
    change.changed.push(record);
  }

  #dropWaitingGaps(change) {
    if (this.#waitingGaps.length === 0) return;
    this.#takeOut(this.#waitingGaps);
    change.added = change.added.filter((record) => !this.#waitingGaps.includes(record));
    change.redraw = true;
    this.#waitingGaps = [];
  }

  #takeOut(gaps) {
    this.records = this.records.filter((record) => !gaps.includes(record));
  }

  #takeGap({ gap, at }) {
    const last = this.records.findLast((record) => record.topic === gap.topic);
    if (last?.gap?.dropped === gap.dropped && last.gap.reason === gap.reason) return null;   // told before, by the broker that served before
    const record = { gap, topic: gap.topic, at: this.records.at(-1)?.at ?? at ?? 0, streamed: true, epoch: this.#epoch, unread: false };
    this.records.push(record);
    this.#waitingGaps.push(record);
    return record;
  }

  #remember(message) {
    const record = { message, topic: message.topic, at: Date.parse(message.time), streamed: false, epoch: -1, unread: false };
    this.#known.set(message.id, record);
    this.records.push(record);
    this.#chars += message.data.length;
    return record;
  }

  #forget() {
    const { messages, chars, least, ids } = this.#limits;
    let count = 0;
    for (let left = this.#chars; this.records.length - count > messages || (left > chars && this.records.length - count > least); count++) {
      left -= this.records[count].message?.data.length ?? 0;
    }
    for (const record of this.records.splice(0, count)) {
      if (!record.message) continue;
      this.#markRead(record);                               // nobody can look at it any more
      record.isGone = true;                                 // ids of what it replaced may name it still
      this.#known.set(record.message.id, null);
      this.#chars -= record.message.data.length;
    }
    for (const id of this.#known.keys()) {
      if (this.#known.size <= ids) break;
      this.#known.delete(id);
    }
    for (const id of this.#readElsewhere) {
      if (this.#readElsewhere.size <= ids) break;
      this.#readElsewhere.delete(id);
    }
    if (this.#unshown.length > ids) this.#unshown.splice(0, this.#unshown.length - ids);
  }

  /** History, and what is undelivered, come in the order of their brokers; among themselves they stand by time. */
  #sortByTime() {
    let next = null;
    for (let i = this.records.length - 1; i >= 0; i--) {    // a gap stands before what follows it
      const record = this.records[i];
      if (record.message) next = record.at;
      else record.at = next ?? record.at;
    }
    this.records.sort((a, b) => a.at - b.at);
  }

  // -- what was read -----------------------------------------------------------------------------------------------------

  unreadCount(pattern = "") {
    return [...this.#unread].reduce((sum, [topic, n]) => sum + (matches(pattern, topic) ? n : 0), 0);
  }

  /** Messages with these ids were looked at, here or in another tab. Gives the ids of those that were unread. */
  markRead(ids) {
    return ids.filter((id) => {
      this.#unreadElsewhere.delete(id);
      const record = this.#known.get(id);
      if (record === undefined) this.#readElsewhere.add(id);
      return record ? this.#markRead(record) : false;
    });
  }

  isUnread(id) { return this.#known.get(id)?.unread ?? false; }

  /** The ids of the unread messages that belong to `pattern`. */
  unreadIds(pattern = "") {
    return this.records.filter((record) => record.unread && matches(pattern, record.topic)).map((record) => record.message.id);
  }

  #markUnread(record) {
    if (record.unread) return;
    if (this.#unread.size === 0) this.#epoch++;
    record.unread = true;
    record.epoch = this.#epoch;
    this.#unread.set(record.topic, (this.#unread.get(record.topic) ?? 0) + 1);
  }

  #markRead(record) {
    if (!record.unread) return false;
    record.unread = false;
    const left = this.#unread.get(record.topic) - 1;
    if (left) this.#unread.set(record.topic, left);
    else this.#unread.delete(record.topic);
    return true;
  }

  // -- what may be acknowledged ------------------------------------------------------------------------------------------

  /** Somebody sees this tab: all that came is shown. Gives the event id that may be acknowledged. */
  shown() {
    this.place = this.#unshown.findLast((item) => item.eventId)?.eventId ?? this.place;   // a gap may have none
    this.#unshown = [];
    return this.place;
  }

  /** Another tab has shown all up to `eventId`. What this tab has not received it can't judge: it stays where it is. */
  shownElsewhere(eventId) {
    const at = this.#unshown.findLastIndex((item) => item.eventId === eventId);
    if (at < 0) return;
    this.place = eventId;
    this.#unshown.splice(0, at + 1);
  }

  /** For a tab that opens later: what no tab has shown, what is unread, and the newest of the rest. */
  backlog() {
    const unshown = new Set(this.#unshown.map(({ id }) => id));
    const recent = this.records.filter(({ message, withdrawn }) => message && !withdrawn && !unshown.has(message.id)).slice(-RECENT);
    const items = this.#unshown.map(({ eventId, id, gap, at, withdrawn }) => {
      if (withdrawn) return { withdrawn, eventId };
      if (gap) return { gap, eventId, at };
      const record = this.#known.get(id);
      return record ? { message: record.message, eventId } : null;
    });
    return {
      items: items.filter(Boolean), recent: recent.map(({ message }) => message),
      unread: this.unreadIds(), undelivered: this.undelivered, place: this.place,
    };
  }

  /** Take over the backlog of the tab that reads the stream. Gives the same as `take`. */
  adopt({ items, recent, unread, undelivered, place }) {
    this.undelivered = 0;
    this.place = place;
    this.#unshown = [];
    const others = new Set(unread), epoch = this.#epoch;
    for (const id of others) {
      const record = this.#known.get(id);
      if (record) this.#markUnread(record);
      else if (record === undefined) this.#unreadElsewhere.add(id);
    }
    const redraw = this.addHistory(recent);
    const change = this.take(items, (record) => !others.has(record.message.id));
    this.undelivered = undelivered;
    return { ...change, redraw: change.redraw || redraw, newLine: this.#epoch !== epoch };
  }
}
