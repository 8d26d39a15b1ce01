// The form at the foot of the page.

import { askAny } from "./brokers.js";
import { $, plural } from "./dom.js";
import { showFault, wireFault } from "./fault.js";
import { topicFault } from "./names.js";
import { Waits, inWords, shortly } from "./scheduled.js";
import { isForbidden, showAllowed, showForbidden, showSignedIn, tell } from "./status.js";

const placeholder = (topic) => (topic ? `Write to ${topic}` : "Write a message");

/** `crypto.randomUUID` wants https. */
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export class PublishForm {
  #form = $("publish"); #topic; #data; #press; #on;
  #details = $("details"); #named = ["title", "tags", "priority", "confirm", "escalate", "at", "markdown"];   // fields that are folded away
  #draft = { text: "", key: "" };   // the key makes it safe to send the same again, here or at another broker
  #publishing = false; #waits = new Waits();
  #last = "";                    // the id of the message that was published last, while it can be withdrawn here

  /** `on` has isSubscribed(topic), isNew(topic), published(topic), unreachable(). */
  constructor(on) {
    this.#on = on;
    ({ topic: this.#topic, data: this.#data } = this.#form.elements);
    this.#press = this.#form.querySelector("button:not([type])");
    this.#form.addEventListener("submit", (event) => { event.preventDefault(); this.#publish(); });
    this.#topic.addEventListener("input", () => this.#topicChanged());
    this.#form.elements.confirm.addEventListener("change", () => this.#showEscalate());
    this.#form.addEventListener("input", () => this.#showNamed());
    this.#details.addEventListener("toggle", () => { if (this.#details.open) this.#form.elements.title.focus(); });
    this.#details.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      this.#details.open = false;
      this.#data.focus();
    });
    this.#showEscalate();
    this.#waits.load();
    $("withdraw").addEventListener("click", () => this.#withdraw());
    this.#form.addEventListener("input", () => this.#offerWithdrawal(""));
    this.#data.addEventListener("keydown", (event) => {       // Shift and Enter: a new line; an input method's Enter is its own
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#form.requestSubmit();
    });
    wireFault(this.#topic, $("said"), $("offer"), () => (this.#data.value ? this.#press : this.#data).focus());
  }

  #offerWithdrawal(id) {
    this.#last = id;
    $("withdraw").hidden = id === "";
  }

  async #withdraw() {
    const id = this.#last;
    this.#offerWithdrawal("");
    this.#data.focus();
    try {
      await askAny(`/messages/${id}`, {}, "DELETE");
      tell("Withdrawn.");
      if (!this.#waits.isEmpty) this.#waits.load();
    } catch (error) {
      if (error.unreachable) this.#on.unreachable();
      tell(`Not withdrawn: ${error.message}`, true);
      if (!error.final) this.#offerWithdrawal(id);
    }
  }

  #topicChanged() {
    this.#data.placeholder = placeholder(this.#topic.value.trim());
    this.showNew();
  }

  /** Say that the topic that is named does not exist yet, as one may have mistyped it. */
  showNew() {
    const topic = this.#topic.value.trim();
    $("new-topic").textContent = topic && !topicFault(topic) && this.#on.isNew(topic) ? `There is no topic ${topic} yet: publishing makes it.` : "";
  }

  /** Who has not confirmed can be named only where it is asked for. */
  #showEscalate() {
    const { confirm, escalate } = this.#form.elements;
    escalate.parentNode.hidden = confirm.value === "";
  }

  /** What is folded away and filled in is said beside it. */
  #showNamed() {
    const count = Object.keys(this.#more()).length, text = `Title, priority, tags …${count ? ` (${count})` : ""}`;
    this.#data.required = this.#form.elements.title.value.trim() === "";   // a title may stand alone
    $("at-said").textContent = inWords(this.#form.elements.at.value);
    if (this.#details.firstElementChild.textContent !== text) this.#details.firstElementChild.textContent = text;
  }

  /** The fields that are folded away, as far as they are filled in. */
  #more() {
    const fields = this.#form.elements, more = {};
    for (const name of this.#named) {
      const value = name === "markdown" ? (fields[name].checked ? "true" : "") : fields[name].value.trim();
      if (value && (name !== "escalate" || fields.confirm.value)) more[name] = value;
    }
    return more;
  }

  #empty() {
    const fields = this.#form.elements;
    this.#data.value = "";
    for (const name of this.#named) fields[name].value = name === "markdown" ? "on" : "";
    fields.markdown.checked = false;
    this.#details.open = false;
    this.#showEscalate();
    this.#showNamed();
  }

  get isEmpty() { return this.#data.value === ""; }

  prefill(topic) {
    if (this.#topic.value !== topic) this.#topic.value = topic;
    this.#topicChanged();
    showFault(this.#topic, $("said"), $("offer"), null);
  }

  prefillIfEmpty(topic) {
    if (!this.#topic.value && document.activeElement !== this.#topic) this.prefill(topic);
  }

  /** What is being written, to go on with after signing in. */
  get draft() { return { topic: this.#topic.value, data: this.#data.value, more: this.#more(), ...this.#draft }; }

  restore({ topic, data, more, text, key }) {
    this.prefill(topic);
    this.#data.value = data;
    for (const [name, value] of Object.entries(more ?? {})) this.#form.elements[name].value = value;
    this.#form.elements.markdown.checked = Boolean(more?.markdown);
    this.#showEscalate();
    this.#showNamed();
    this.#draft = { text, key };
    this.#data.focus();
  }

  focus() { (this.#topic.value ? this.#data : this.#topic).focus(); }

  async #publish() {
    if (this.#publishing) return;
    const topic = this.#topic.value.trim(), data = this.#data.value, fault = topicFault(topic);
    showFault(this.#topic, $("said"), $("offer"), fault);
    if (fault) return void this.#topic.focus();
    const more = this.#more(), text = JSON.stringify([topic, data, more]);
    const lost = more.escalate && topicFault(more.escalate);
    if (lost) {
      tell(lost.why, true);
      return void this.#form.elements.escalate.focus();
    }
    if (this.#draft.text !== text) this.#draft = { text, key: newKey() };
    this.#publishing = true;
    this.#press.setAttribute("aria-disabled", "true");
    try {
      this.#offerWithdrawal("");
      const fields = { topic, ...(data ? { data } : {}), ...more, ...(more.at ? { at: new Date(more.at).toISOString() } : {}) };
      const { copies, id, due } = await askAny("/publish", { ...fields, key: this.#draft.key }, "POST");
      const elsewhere = this.#on.isSubscribed(topic) ? "" : `. You are not subscribed to ${topic}`;
      const said = due ? `Waits until ${shortly(new Date(due))}, on` : "Stored on";
      tell(`${said} ${plural(copies, "broker")}${due ? "" : `, ${new Date().toLocaleTimeString()}`}${elsewhere}`);
      if (due) this.#waits.load();
      this.#offerWithdrawal(id);
      showAllowed();
      showSignedIn();
      this.#draft = { text: "", key: "" };
      if (this.#data.value === data) this.#empty();
      this.#on.published(topic);
    } catch (error) {
      this.#tellWhy(error);
    } finally {
      this.#publishing = false;
      this.#press.removeAttribute("aria-disabled");
      if (this.#form.contains(document.activeElement)) this.#data.focus();
    }
  }

  #tellWhy(error) {
    if (error.unreachable) this.#on.unreachable();
    if (isForbidden(error)) showForbidden(error.message);
    const again = error.late ? error.message : "No broker answers.";
    tell(error.unreachable ? `${again} Publish again in a moment: it is stored once.` : error.message, true);
  }
}
