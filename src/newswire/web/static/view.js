// The news in the page: of what the store holds, the newest that belong to the chosen topic. So ten thousand messages at once
// cost a few hundred elements.

import { dateOf, dayHeading, isNews, nodes } from "./article.js";
import { $, plural, visible } from "./dom.js";
import { matches } from "./names.js";

const IN_PAGE = 500;             // messages in the page, while its end is in view
const IN_PAGE_MOST = 1_500;      // and when somebody reads further up
const EARLIER = 200;             // more of them at once
const READ_MS = 2_500;           // on the screen for so long, a message has been read

export class View {
  chosen = "";                   // the topic or pattern that is looked at, "" for all
  #store;
  #inPage = [];                  // records that are in the page, from top to bottom
  #below = 0;                    // messages that came below what is in view
  #behind = false;               // newer ones are in memory only: the page is full, and somebody reads further up
  #wasAtEnd = true;
  #reader;
  #on;
  #loading = false;              // older news is asked for
  #covered = -1;                 // where the page was scrolled to, while something else stands in place of the news; else -1
  #top = new IntersectionObserver(([{ isIntersecting }]) => { if (isIntersecting) this.#addEarlier(); }, { rootMargin: "400px 0px 0px" });

  /**
   * `on` has read(ids): these unread messages were on the screen long enough; hasOlder(topic), older(topic): whether a broker may have
   * older news than are in memory, and that it is asked for; since(topic): from when on (ms) memory has all.
   */
  constructor(store, on) {
    this.#store = store;
    this.#on = on;
    this.#reader = new Reader(on.read);
    window.addEventListener("scroll", () => this.looked(), { passive: true });
    window.addEventListener("resize", () => this.#stayAtEnd());
    new ResizeObserver(() => this.#stayAtEnd()).observe($("publish"));   // it covers more of the news, or less
    $("jump").addEventListener("click", () => this.#jump());
    $("earlier").addEventListener("click", () => this.#addEarlier());
  }

  get isEmpty() { return this.#inPage.length === 0; }
  get following() { return this.#covered < 0 && !this.#behind && atBottom(); }
  passes(record) { return matches(this.chosen, record.topic); }

  /** Something else stands in place of the news, or the news is back, where it was left. */
  cover() { this.#covered = this.following ? Infinity : window.scrollY; }

  uncover() {
    const top = this.#covered;
    this.#covered = -1;
    if (top === Infinity) this.toEnd();
    else window.scrollTo({ top, behavior: "instant" });
    this.looked();
  }

  /** What is in memory of the topic that is looked at, without older news among which others may be missing. */
  #passing() {
    const since = this.#on.since(this.chosen);
    return this.#store.passing(this.chosen).filter((record) => record.streamed || record.at >= since);
  }

  #showEarlier(inMemory) {
    const hidden = !inMemory && !this.#on.hasOlder(this.chosen);
    $("earlier").hidden = hidden;
    this.#top.unobserve($("earlier"));
    if (!hidden) this.#top.observe($("earlier"));              // it is told at once whether that is in view
  }

  /** The store has changed. Gives the new records that the page is about. */
  update({ added, changed, redraw, newLine }, following) {
    const shown = added.filter((record) => this.passes(record));
    if (newLine) document.querySelector("#feed .news")?.remove();
    if (redraw || (following && shown.length > IN_PAGE)) this.draw();
    else {
      for (const record of changed) this.#change(record);
      this.#append(shown, following);
    }
    if (following) this.toEnd();
    else this.#below += shown.length;
    return shown;
  }

  /** Draw all anew: the newest that pass. */
  draw() {
    const passing = this.#passing();
    const from = Math.max(0, passing.length - IN_PAGE);
    $("feed").replaceChildren(...this.#allNodes(passing, from, passing.length));
    this.#inPage = passing.slice(from);
    this.#behind = false;
    this.#showEarlier(from > 0);
  }

  choose(topic) {
    this.chosen = topic;
    this.#below = 0;
    this.draw();
    this.toEnd();
  }

  #stayAtEnd() { if (this.#wasAtEnd) this.toEnd(); }

  toEnd() {
    if (this.#covered >= 0) return void (this.#covered = Infinity);
    if (this.#behind) this.draw();
    window.scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" });
    this.looked();
  }

  /** The view or its end has moved, or the tab is looked at, or not any more. */
  looked() {
    if (this.#covered >= 0) return;
    if (this.#behind && atBottom()) this.#addLater();
    this.#wasAtEnd = this.following;
    if (this.#wasAtEnd) this.#below = 0;
    this.#reader.look();
    this.#showJump();
  }

  #nodes(record, before, isNew) {
    const made = nodes(record, before, isNew);
    if (record.unread) this.#reader.watch(made.at(-1), record);
    return made;
  }

  /** The elements of `passing` from one place to another. */
  #allNodes(passing, from, to) {
    const first = passing.find((record) => this.#store.isNew(record));
    const made = [];
    for (let i = from; i < to; i++) made.push(...this.#nodes(passing[i], passing[i - 1], passing[i] === first));
    if (made.length && !made[0].matches(".day")) made.unshift(dayHeading(dateOf(passing[from].at)));
    return made;
  }

  /** Show what `record` says now, where it stands. */
  #change(record) {
    const at = this.#inPage.indexOf(record), there = [...$("feed").children].filter(isNews)[at];
    if (!there) return;
    const [made] = this.#nodes(record, record, false), hadFocus = there.contains(document.activeElement);
    there.replaceWith(made);
    if (hadFocus) { made.tabIndex = -1; made.focus({ preventScroll: true }); }
  }

  #append(records, following) {
    if (this.#behind || (!following && this.#inPage.length >= IN_PAGE_MOST)) {
      this.#behind ||= records.length > 0;
      return;
    }
    for (const record of records) {
      const before = this.#inPage.at(-1);
      const first = this.#store.isNew(record) && before && !this.#store.isNew(before) && !document.querySelector("#feed .news");
      $("feed").append(...this.#nodes(record, before, first));
      this.#inPage.push(record);
    }
    if (following && this.#inPage.length > IN_PAGE) this.#cutTop(this.#inPage.length - IN_PAGE);
  }

  #cutTop(count) {
    const feed = $("feed");
    for (let left = count; left > 0; feed.firstChild.remove()) left -= isNews(feed.firstChild) ? 1 : 0;
    this.#inPage.splice(0, count);
    if (!feed.firstChild.matches(".day")) feed.prepend(dayHeading(dateOf(this.#inPage[0].at)));
    this.#showEarlier(true);
  }

  /** Put what stands before the first into the page, without moving what is in view: from memory, else from a broker. */
  async #addEarlier() {
    if (this.#loading || this.#covered >= 0) return;
    if (this.#passing().indexOf(this.#inPage[0]) <= 0 && !(await this.#load())) return;
    const passing = this.#passing(), to = passing.indexOf(this.#inPage[0]), from = Math.max(0, to - EARLIER);
    if (this.#inPage.some((record, at) => passing[to + at] !== record)) {   // some of it stands among what is in the page
      const following = this.following;
      this.draw();
      if (following) this.toEnd();
      return;
    }
    if (to > 0) {
      const feed = $("feed"), anchor = [...feed.children].find(isNews), top = anchor.getBoundingClientRect().top;
      if (dateOf(passing[to - 1].at) === feed.firstChild.dataset.date) feed.firstChild.remove();
      feed.prepend(...this.#allNodes(passing, from, to));
      this.#inPage.unshift(...passing.slice(from, to));
      window.scrollBy({ top: anchor.getBoundingClientRect().top - top, behavior: "instant" });
    }
    this.#showEarlier(from > 0);
    if ($("earlier").hidden && document.activeElement === document.body) $("feed").focus({ preventScroll: true });
  }

  /** Ask a broker for older news. Gives whether there is any to be shown. */
  async #load() {
    const { chosen } = this, button = $("earlier");
    if (!this.#on.hasOlder(chosen)) return false;
    this.#loading = true;
    button.textContent = "Loading earlier news …";
    let more = false;
    try {
      more = await this.#on.older(chosen);
      if (!more && chosen === this.chosen) button.hidden = true;
    } catch { /* no broker answers: the button is there, and the next scroll */ } finally {
      this.#loading = false;
      button.textContent = "Show earlier news";
    }
    if (!more || chosen !== this.chosen) return false;
    if (!this.isEmpty) return true;
    this.draw();
    this.toEnd();
    return false;
  }

  /** The reverse, where somebody who read further up comes to the end of the page, but not of the news. */
  #addLater() {
    const passing = this.#passing(), from = passing.indexOf(this.#inPage.at(-1)) + 1;
    const to = Math.min(passing.length, from + EARLIER);
    this.#behind = false;
    this.#append(passing.slice(from, to), true);
    this.#behind = to < passing.length;
    this.#below = passing.length - to;
  }

  #showJump() {
    const line = document.querySelector("#feed .news"), count = this.#store.unreadCount(this.chosen);
    const above = line && count > 0 && line.getBoundingClientRect().bottom < $("state").getBoundingClientRect().bottom;
    $("jump").textContent = this.#below ? `↓ ${plural(this.#below, "new message")}` : above ? `↑ ${line.textContent}` : "";
    $("jump").hidden = !$("jump").textContent;
  }

  #jump() {
    if (this.#below) this.toEnd();
    else this.#toLine();
  }

  #toLine() { document.querySelector("#feed .news")?.scrollIntoView({ block: "start", behavior: "instant" }); }

  /** Show the first that is new, else the end. */
  toNew() {
    if (this.#store.unreadCount(this.chosen) && document.querySelector("#feed .news")) this.#toLine();
    else this.toEnd();
  }
}

const atBottom = () => window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 80;

/** Sees which unread messages are on the screen, and for how long while the tab is looked at. */
class Reader {
  #onRead;
  #records = new WeakMap();      // element -> its record
  #since = new Map();            // record -> since when it is on the screen (ms), while somebody can see it
  #onScreen = new Map();         // element -> record
  #timer = 0;
  #observer;

  constructor(onRead) {
    this.#onRead = onRead;
    // what is behind the head of the page and the form at its foot is not on the screen
    const margin = { rootMargin: "-50px 0px -90px 0px", threshold: [0, 0.1, 0.25, 0.5, 0.75, 1] };
    this.#observer = new IntersectionObserver((entries) => this.#seen(entries), margin);
  }

  watch(node, record) {
    this.#records.set(node, record);
    this.#observer.observe(node);
  }

  #seen(entries) {
    for (const { target, isIntersecting, intersectionRatio, intersectionRect, rootBounds } of entries) {
      const record = this.#records.get(target);
      const enough = isIntersecting && (intersectionRatio >= 0.5 || intersectionRect.height >= (rootBounds?.height ?? Infinity) / 2);
      if (enough) this.#onScreen.set(target, record);
      else this.#onScreen.delete(target);
    }
    this.look();
  }

  look() {
    clearTimeout(this.#timer);
    if (!visible()) return void this.#since.clear();
    const now = performance.now(), there = new Map(), read = [];
    let next = Infinity;
    for (const [node, record] of this.#onScreen) {
      if (!record.unread || !node.isConnected) {
        this.#onScreen.delete(node);
        this.#observer.unobserve(node);
        continue;
      }
      const since = this.#since.get(record) ?? now;
      there.set(record, since);
      if (now - since >= READ_MS) read.push(record.message.id);
      else next = Math.min(next, since + READ_MS - now);
    }
    this.#since = there;
    if (next < Infinity) this.#timer = setTimeout(() => this.look(), next + 10);
    if (read.length) this.#onRead(read);                      // it marks them as read, and looks again
  }
}
