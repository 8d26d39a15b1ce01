// Keys of the feed that do something wherever the focus is, but in a field. `?` shows them; they can be switched off there, as
// WCAG 2.2 (2.1.4) asks of keys that are a single sign.

import { $, element } from "./dom.js";

const KEPT = "newswire keys";    // "off" where the reader wants none

/** `acts` are rows of key, words, and what it does; "?" comes by itself. */
export function wireKeys(acts) {
  const panel = $("keys"), tick = panel.querySelector("input"), all = [["?", "show these keys", () => panel.showModal()], ...acts];
  tick.checked = areOn();
  tick.addEventListener("change", () => {
    try { localStorage.setItem(KEPT, tick.checked ? "" : "off"); } catch { /* storage is switched off: until the page is left */ }
  });
  $("keys-open").addEventListener("click", () => panel.showModal());
  $("keys-close").addEventListener("click", () => panel.close());
  $("keys-list").append(...all.flatMap(([key, words]) => {
    const name = element("dt");
    name.append(element("kbd", "", key));
    return [name, element("dd", "", words)];
  }));
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || event.isComposing || !tick.checked) return;
    if (event.target.closest("input, textarea, select, dialog")) return;
    if (event.key !== "?" && event.target.closest("#mine, #more")) return;   // typing in a list finds a name there
    const act = all.find(([key]) => key === event.key)?.[2];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

function areOn() {
  try { return localStorage.getItem(KEPT) !== "off"; } catch { return true; }
}
