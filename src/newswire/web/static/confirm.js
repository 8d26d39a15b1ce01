// A message that asks to be confirmed: the button, and what came of it.

import { askAny, page, user } from "./brokers.js";
import { button, clock, dayOf, element } from "./dom.js";

const KEPT = 500;                // ids of what was confirmed in this browser: a button that is pressed again does no harm
const STORE = `newswire confirmed ${user}`;

function confirmedHere() {
  try { return JSON.parse(localStorage.getItem(STORE)) ?? []; } catch { return []; }
}

function keep(id) {
  try { localStorage.setItem(STORE, JSON.stringify([...confirmedHere().filter((one) => one !== id), id].slice(-KEPT))); } catch { /* no room, or not allowed */ }
}

/** What stands below a message that asks for it; nothing on a page that shows another one's news. */
export function confirmLine(message) {
  const made = element("p", "confirm");
  if (!page.acknowledges) return made;
  if (confirmedHere().includes(message.id)) {
    made.textContent = "✓ You have confirmed this.";
    return made;
  }
  const until = new Date(Date.parse(message.time) + message.confirm * 1000);
  const day = until.toDateString() === new Date().toDateString() ? "" : `${dayOf(until)}, `;
  const words = element("span", "", `Please confirm by ${day}${clock(until)}.`);
  const pressed = button("", "Confirm", async () => {
    pressed.disabled = true;
    try {
      await askAny("/confirm", { username: user, id: message.id }, "POST");
      keep(message.id);
      made.textContent = "✓ You have confirmed this.";
      made.tabIndex = -1;
      made.focus({ preventScroll: true });
    } catch (error) {
      words.textContent = `Not confirmed: ${error.message}`;
      pressed.disabled = false;
    }
  });
  made.append(words, " ", pressed);
  return made;
}
