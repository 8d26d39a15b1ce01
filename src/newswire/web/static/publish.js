// The form at the foot of the page.

import { askAny } from "./brokers.js";
import { $, plural } from "./dom.js";
import { showFault, wireFault } from "./fault.js";
import { topicFault } from "./names.js";
import { isForbidden, showAllowed, showForbidden, showSignedIn, tell } from "./status.js";

const placeholder = (topic) => (topic ? `Write to ${topic}` : "Write a message");

/** `crypto.randomUUID` wants https. */
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export class PublishForm {
  #form = $("publish"); #topic; #data; #press; #on;
  #draft = { text: "", key: "" };   // the key makes it safe to send the same again, here or at another broker
  #publishing = false;

  /** `on` has isSubscribed(topic), published(topic), unreachable(). */
  constructor(on) {
    this.#on = on;
    ({ topic: this.#topic, data: this.#data } = this.#form.elements);
    this.#press = this.#form.querySelector("button:not([type])");
    this.#form.addEventListener("submit", (event) => { event.preventDefault(); this.#publish(); });
    this.#topic.addEventListener("input", () => { this.#data.placeholder = placeholder(this.#topic.value.trim()); });
    this.#data.addEventListener("keydown", (event) => {       // Shift and Enter: a new line; an input method's Enter is its own
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#form.requestSubmit();
    });
    wireFault(this.#topic, $("said"), $("offer"), () => (this.#data.value ? this.#press : this.#data).focus());
  }

  get isEmpty() { return this.#data.value === ""; }

  prefill(topic) {
    if (this.#topic.value !== topic) this.#topic.value = topic;
    this.#data.placeholder = placeholder(topic);
    showFault(this.#topic, $("said"), $("offer"), null);
  }

  prefillIfEmpty(topic) {
    if (!this.#topic.value && document.activeElement !== this.#topic) this.prefill(topic);
  }

  /** What is being written, to go on with after signing in. */
  get draft() { return { topic: this.#topic.value, data: this.#data.value, ...this.#draft }; }

  restore({ topic, data, text, key }) {
    this.prefill(topic);
    this.#data.value = data;
    this.#draft = { text, key };
    this.#data.focus();
  }

  focus() { (this.#topic.value ? this.#data : this.#topic).focus(); }

  async #publish() {
    if (this.#publishing) return;
    const topic = this.#topic.value.trim(), data = this.#data.value, fault = topicFault(topic);
    showFault(this.#topic, $("said"), $("offer"), fault);
    if (fault) return void this.#topic.focus();
    if (this.#draft.text !== `${topic}\n${data}`) this.#draft = { text: `${topic}\n${data}`, key: newKey() };
    this.#publishing = true;
    this.#press.setAttribute("aria-disabled", "true");
    try {
      const { copies } = await askAny("/publish", { topic, data, key: this.#draft.key }, "POST");
      const elsewhere = this.#on.isSubscribed(topic) ? "" : `. You are not subscribed to ${topic}`;
      tell(`Stored on ${plural(copies, "broker")}, ${new Date().toLocaleTimeString("en-GB")}${elsewhere}`);
      showAllowed();
      showSignedIn();
      this.#draft = { text: "", key: "" };
      if (this.#data.value === data) this.#data.value = "";
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
