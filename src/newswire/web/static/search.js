// Searching: what a broker finds stands in place of the news, the newest first, until somebody goes back.

import { article, dateOf, dayHeading } from "./article.js";
import { askAny, user } from "./brokers.js";
import { $, plural } from "./dom.js";

const PAGE = 50;                 // messages asked for at once
const ENOUGH = 20;               // found, and it waits to be told to go on
const REQUESTS = 10;             // that it makes by itself: each looks at 2,000 messages
const MARKS = 2_000;             // places that are marked

export class Search {
  isOpen = false;
  #on; #form = $("search"); #field; #run = 0; #words = ""; #next = ""; #count = 0; #date = "";

  /** `on` has chosen(): the topic that is looked at; opens(), left(): what is found comes in place of the news, and is gone. */
  constructor(on) {
    this.#on = on;
    this.#field = this.#form.elements.q;
    this.#form.addEventListener("submit", (event) => { event.preventDefault(); this.#search(); });
    this.#field.addEventListener("input", () => { if (!this.#field.value) this.leave(); });   // also its own cross
    for (const place of [this.#form, $("found")]) {
      place.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.preventDefault(); this.leave(); } });
    }
    $("seek").addEventListener("click", () => this.focus());
    $("found-back").addEventListener("click", () => this.leave());
    $("found-more").addEventListener("click", () => this.#goOn());
  }

  focus() {
    document.body.classList.add("seeking");                   // on a phone it stands over the head of the page
    this.#field.focus();
    this.#field.select();
  }

  /** Another topic is looked at: search that. */
  again() { if (this.isOpen) this.#search(); }

  leave() {
    document.body.classList.remove("seeking", "searching");
    this.#field.value = "";
    this.#run++;
    if (!this.isOpen) return void this.#field.blur();
    this.isOpen = false;
    $("found").hidden = true;
    $("found-list").replaceChildren();
    globalThis.CSS?.highlights?.delete("found");
    this.#on.left();
  }

  #search() {
    this.#words = this.#field.value.trim();
    if (!this.#words) return this.leave();
    if (!this.isOpen) this.#on.opens();
    this.isOpen = true;
    document.body.classList.add("searching");
    $("found").hidden = false;
    $("found-list").replaceChildren();
    this.#next = "now";
    this.#count = 0;
    this.#date = "";
    window.scrollTo({ top: 0, behavior: "instant" });
    return this.#goOn();
  }

  async #goOn() {
    const run = ++this.#run, topic = this.#on.chosen(), from = this.#count;
    const where = `with “${this.#words}”${topic ? ` of ${topic}` : ""}`;
    $("found-more").hidden = true;
    this.#say(`Searching for news ${where} …`);
    try {
      for (let requests = 0; this.#next && this.#count - from < ENOUGH && requests < REQUESTS; requests++) {
        const page = await askAny("/messages", { username: user, q: this.#words, before: this.#next, limit: PAGE, ...(topic ? { topic } : {}) });
        if (run !== this.#run) return;                        // something else is searched for by now
        this.#next = page.next ?? "";
        this.#show(page.messages);
      }
    } catch (error) {
      const isNobody = error.code === "not-registered";         // who reads no topic has nothing to search
      if (run === this.#run) this.#say(isNobody ? "A search looks through the topics that you are subscribed to, also at what came before that: subscribe to one first." : `Not searched: ${error.message}`);
      return;
    }
    const soFar = this.#next ? ", and there is older news to search" : "";
    this.#say(this.#count ? `${plural(this.#count, "message")} ${where}, the newest first${soFar}.` : `Nothing ${where}${soFar}.`);
    $("found-more").hidden = !this.#next;
  }

  #say(words) { $("found-said").textContent = words; }

  #show(messages) {
    for (const message of messages) {
      const date = dateOf(message.time);
      if (date !== this.#date) $("found-list").append(dayHeading(date));
      this.#date = date;
      $("found-list").append(article(message));
    }
    this.#count += messages.length;
    this.#mark();
  }

  /** Mark the words where they are shown; a browser that cannot shows them without. */
  #mark() {
    if (!globalThis.CSS?.highlights) return;
    const words = this.#words.toLowerCase().split(/\s+/), ranges = [];
    const texts = document.createTreeWalker($("found-list"), NodeFilter.SHOW_TEXT);
    while (texts.nextNode() && ranges.length < MARKS) {
      const node = texts.currentNode, text = node.data.toLowerCase();
      if (text.length !== node.data.length || node.parentNode.closest("time, button, .day")) continue;
      for (const word of words) {
        for (let at = text.indexOf(word); at >= 0 && ranges.length < MARKS; at = text.indexOf(word, at + word.length)) {
          ranges.push(new StaticRange({ startContainer: node, startOffset: at, endContainer: node, endOffset: at + word.length }));
        }
      }
    }
    CSS.highlights.set("found", new Highlight(...ranges));
  }
}
