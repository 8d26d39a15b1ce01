// The topics beside the news: those of the user with what is unread of each, and the others; subscribing and unsubscribing.

import { askAny, user } from "./brokers.js";
import { $, button, element, narrow } from "./dom.js";
import { showFault, wireFault } from "./fault.js";
import { isPattern, matches, patternFault } from "./names.js";
import { focusIn, rove } from "./roving.js";
import { isForbidden, showAllowed, showForbidden, tell } from "./status.js";

const LISTED = 200;              // topics in a list
const SOON_MS = 1_000;
const FEW = 10;                  // topics that are found without a field to find them

export class Topics {
  areLoaded = false;             // whether it is known which topics there are
  registered;                    // whether the user has subscriptions; undefined while nobody could say
  #on; #subscriptions = []; #listed = new Set(); #timer = 0;
  #mine = []; #more = [];        // names: those of the user, and the others
  #settleMine = rove($("mine"), ".pick");
  #settleMore = rove($("more"), ".pick");
  #arrived = () => {};

  /**
   * `on` has unreadCount(pattern), chosen(), choose(topic), markRead(pattern), loaded(), subscribed(topic).
   */
  constructor(on) {
    this.#on = on;
    const form = $("subscribe"), { topic } = form.elements;
    wireFault(topic, $("why"), $("instead"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const fault = patternFault(topic.value.trim());
      showFault(topic, $("why"), $("instead"), fault);
      if (fault) topic.focus();
      else this.subscribe(topic.value.trim()).then((done) => { if (done) form.reset(); });
    });
    $("mine").addEventListener("click", (event) => { const pick = event.target.closest(".pick"); if (pick) on.choose(pick.parentNode.dataset.topic); });
    $("read").addEventListener("click", () => { on.markRead(on.chosen()); this.#pickOf(on.chosen())?.focus(); });
    $("filter").addEventListener("input", () => this.#fillLists());
    $("filter").addEventListener("keydown", (event) => this.#filterKey(event));
    $("more").addEventListener("click", (event) => { const pick = event.target.closest(".pick"); if (pick) this.subscribe(pick.parentNode.dataset.topic); });
  }

  isSubscribed(topic) { return this.#subscriptions.some((pattern) => matches(pattern, topic)); }
  knows(topic) { return this.#listed.has(topic); }

  async loadSubscriptions() {
    const rows = await askAny("/subscriptions", { username: user });
    this.#subscriptions = rows.map((row) => row.topic);
    this.registered = rows.length > 0;
    if (this.registered) this.#arrived();
    return rows;
  }

  /** Resolves when the user may have a subscription, here or in another tab. */
  arrival() { return new Promise((done) => { this.#arrived = done; }); }

  async load() {
    const [all] = await Promise.all([askAny("/topics", {}), this.loadSubscriptions()]);
    const names = all.map((row) => row.topic);
    const mine = [...new Set([...this.#subscriptions, ...names.filter((topic) => this.isSubscribed(topic))])].sort(), own = new Set(mine);
    this.#mine = mine;
    this.#more = names.filter((topic) => !own.has(topic));
    for (const topic of names) this.#listed.add(topic);
    this.areLoaded = true;
    fill($("topics"), [...new Set([...mine.filter((topic) => !isPattern(topic)), ...names])].slice(0, LISTED), (topic) => Object.assign(element("option"), { value: topic }));
    this.#fillLists();
    this.#on.loaded(mine.find((topic) => !isPattern(topic)) ?? "");
  }

  /** Both lists, of what the field above them lets through. */
  #fillLists() {
    const filter = $("filter"), part = filter.value.trim().toLowerCase(), fits = (topic) => topic.toLowerCase().includes(part), chosen = this.#on.chosen();
    filter.hidden = part === "" && document.activeElement !== filter && this.#mine.length + this.#more.length <= FEW;
    const mine = this.#mine.filter(fits), more = this.#more.filter(fits), shown = mine.slice(0, LISTED);
    if (chosen && this.isSubscribed(chosen) && !shown.includes(chosen)) shown.push(chosen);
    fill($("mine"), ["", ...shown], mineItem);
    fill($("more"), more.slice(0, LISTED), moreItem);
    const left = more.length - LISTED, none = part !== "" && mine.length + more.length === 0;
    $("others").textContent = left > 0 ? `and ${left} more: ${part ? "type more of the name" : "find them by name above"}` : none ? `No topic has ${part} in its name.` : "";
    this.showCounts();
    this.#settleMore();
  }

  #filterKey(event) {
    const filter = $("filter"), part = filter.value.trim().toLowerCase();
    if (event.key === "Escape" && filter.value) {
      event.preventDefault();
      filter.value = "";
      this.#fillLists();
    } else if (event.key === "ArrowDown" || event.key === "Enter") {
      event.preventDefault();
      const first = [...$("mine").children].find(({ dataset: { topic } }) => topic && topic.toLowerCase().includes(part));
      const to = first?.firstChild ?? $("more").querySelector(".pick");
      if (to) focusIn(to);
    }
  }

  /** The list gets the focus. */
  focus() { focusIn(this.#pickOf(this.#on.chosen()) ?? this.#pickOf("")); }

  /** The field to find a topic gets it, or the list where all are in view. */
  focusFilter() { if ($("filter").hidden) this.focus(); else $("filter").focus(); }

  loadSoon() {
    this.#timer ||= setTimeout(() => { this.#timer = 0; this.load().catch(() => {}); }, SOON_MS);
  }

  showCounts() {
    const chosen = this.#on.chosen();
    for (const item of $("mine").children) {
      const { topic } = item.dataset, pick = item.firstChild, count = this.#on.unreadCount(topic), current = topic === chosen;
      showCount(pick, count);
      pick.setAttribute("aria-current", String(current));
      this.#offerToEnd(item, current ? topic : "");
    }
    const none = this.#on.unreadCount(chosen) === 0, moves = none !== $("read").hidden && narrow();
    $("read").hidden = none;
    if (moves) this.showChosen();
    this.#settleMine();
  }

  /** Beside the topic that is looked at: how it ends, by its own subscription or by those of patterns that it belongs to. */
  #offerToEnd(item, topic) {
    const own = this.#subscriptions.includes(topic);
    const ends = topic === "" ? [] : own ? [topic] : this.#subscriptions.filter((pattern) => matches(pattern, topic));
    if (item.dataset.ends === ends.join(" ") || (!item.dataset.ends && !ends.length)) return;
    item.dataset.ends = ends.join(" ");
    item.querySelectorAll(".off, .by").forEach((node) => node.remove());
    if (ends.length && !own) item.append(element("span", "by", `comes by ${ends.join(" and ")}, and ends with ${ends.length > 1 ? "them" : "it"}`));
    for (const pattern of ends) {
      item.append(Object.assign(button("off", own ? "Unsubscribe" : `Unsubscribe from ${pattern}`, () => this.unsubscribe(pattern)), { title: `Unsubscribe from ${pattern}` }));
    }
  }

  async subscribe(topic) {
    try {
      tell((await askAny("/subscribe", { username: user, topic }, "POST")).message);
      showAllowed();
      if (narrow()) $("find").open = false;
      await this.load();
      if (document.activeElement === document.body) this.#pickOf(topic)?.focus();
      await this.#on.subscribed(topic);
      return true;
    } catch (error) {
      if (isForbidden(error)) showForbidden(error.message);
      tell(error.message, true);
      return false;
    }
  }

  async unsubscribe(topic) {
    try {
      tell((await askAny("/unsubscribe", { username: user, topic }, "POST")).message);
      this.#on.choose("");
      this.#pickOf("").focus();
      await this.load();
      await this.#on.subscribed("");
    } catch (error) {
      if (isForbidden(error)) showForbidden(error.message);
      tell(error.message, true);
    }
  }

  showChosen() {
    this.#pickOf(this.#on.chosen())?.parentNode.scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });
  }

  #pickOf(topic) {
    return [...$("mine").children].find((item) => item.dataset.topic === topic)?.firstChild;
  }
}

/** Make `items` the list's, and keep the elements that are there: one may have the focus. */
function fill(parent, items, make) {
  const there = new Map([...parent.children].map((child) => [child.dataset.topic, child]));
  items.forEach((topic, at) => {
    const child = there.get(topic) ?? make(topic);
    child.dataset.topic = topic;
    there.delete(topic);
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
  });
  for (const child of there.values()) child.remove();
}

function showCount(pick, count) {
  const shown = pick.querySelector(".n")?.textContent ?? "", text = count ? `${count > 999 ? "999+" : count}` : "";
  if (shown === (text && `${text} new`)) return;
  pick.querySelector(".n")?.remove();
  if (!text) return;
  const number = element("span", "n", text);
  number.append(element("span", "unseen", " new"));
  pick.append(number);
}

/** A name that is broken, where it must be, after a dot. */
function nameOf(topic) {
  const made = element("span");
  made.append(...topic.split(/(?<=\.)/).flatMap((part, at) => (at ? [element("wbr"), part] : [part])));
  return made;
}

function mineItem(topic) {
  const item = element("li"), pick = button("pick");
  pick.append(nameOf(topic || "All"));
  pick.title = topic;
  item.append(pick);
  return item;
}

function moreItem(topic) {
  const item = element("li"), pick = button("pick");
  pick.append(nameOf(topic), element("span", "n", "Subscribe"));
  pick.setAttribute("aria-label", `Subscribe to ${topic}`);
  item.append(pick);
  return item;
}
