// The panel with what this browser tells its reader: kept in the browser, for each user of the page.

import { LEVELS, levelOf, readSettings } from "./alerts.js";
import { askPermission, isAllowed, play, prepareSound, whyNot } from "./bell.js";
import { $, button, element } from "./dom.js";
import { showFault, wireFault } from "./fault.js";
import { patternFault } from "./names.js";

export class AlertPanel {
  #key; #chosen; #panel = $("alerts"); #form; #memory = "";

  /** `chosen()`: the topic that is looked at. */
  constructor(user, chosen) {
    this.#key = `newswire alerts of ${user}`;
    this.#chosen = chosen;
    this.#form = this.#panel.querySelector("form");
    const { desktop, sound, from, topic, level } = this.#form.elements;
    for (const select of [from, level]) select.append(...LEVELS.map(([value, words]) => Object.assign(element("option", "", words), { value })));
    $("alerts-open").addEventListener("click", () => this.#open());
    $("alerts-close").addEventListener("click", () => this.#panel.close());
    $("alerts-try").addEventListener("click", () => { prepareSound(); setTimeout(() => play(false), 50); });
    desktop.addEventListener("change", () => this.#setDesktop(desktop.checked));
    sound.addEventListener("change", () => { if (sound.checked) prepareSound(); this.#write({ sound: sound.checked }); });
    from.addEventListener("change", () => this.#write({ from: Number(from.value) }));
    wireFault(topic, $("alerts-why"), $("alerts-offer"));
    this.#form.addEventListener("submit", (event) => { event.preventDefault(); this.#add(topic, Number(level.value)); });
    // a browser lets a page sound after a click or a key in it: any will do
    for (const act of ["pointerdown", "keydown"]) window.addEventListener(act, () => { if (this.settings.sound) prepareSound(); }, { passive: true });
  }

  get settings() { return readSettings(this.#read()); }

  #read() {
    try { return window.localStorage.getItem(this.#key); } catch { return this.#memory; }   // storage is switched off: while the tab is open
  }

  #write(change) {
    this.#memory = JSON.stringify({ ...this.settings, ...change });
    try { window.localStorage.setItem(this.#key, this.#memory); } catch { /* as above */ }
    this.#draw();
  }

  #open() {
    this.#form.elements.topic.value = this.#chosen();
    this.#draw();
    this.#panel.showModal();
  }

  async #setDesktop(isOn) {
    this.#write({ desktop: isOn && (isAllowed() || await askPermission()) });
  }

  #add(field, level) {
    const name = field.value.trim(), fault = patternFault(name);
    showFault(field, $("alerts-why"), $("alerts-offer"), fault);
    if (fault) return void field.focus();
    this.#write({ topics: { ...this.settings.topics, [name]: level } });
    field.value = "";
    field.focus();
  }

  #remove(name) {
    const { [name]: _, ...topics } = this.settings.topics;
    this.#write({ topics });
    this.#form.elements.topic.focus();
  }

  #draw() {
    const { settings } = this, { desktop, sound, from, level } = this.#form.elements, why = whyNot();
    desktop.checked = settings.desktop && isAllowed();
    desktop.disabled = why !== "";
    sound.checked = settings.sound;
    from.value = settings.from;
    level.value = levelOf(settings, this.#form.elements.topic.value) === 9 ? 1 : 9;
    $("alerts-allowed").textContent = why || "Your browser asks whether it may.";
    $("alerts-allowed").hidden = why === "" && isAllowed();
    const words = new Map(LEVELS);
    $("alerts-topics").replaceChildren(...Object.entries(settings.topics).map(([name, one]) => {
      const row = element("li"), what = element("span");
      what.append(element("b", "", name), ` ${words.get(one)}`);
      const off = button("off", "As for all", () => this.#remove(name));
      off.setAttribute("aria-label", `${name}: as for all`);
      row.append(what, off);
      return row;
    }));
    $("alerts-topics").hidden = Object.keys(settings.topics).length === 0;
  }
}
