// A message that asks to be confirmed: the button, and what came of it. What was confirmed elsewhere is asked for: by another browser
// or by `newswire confirm` a broker knows, by another tab the storage that they share tells.

import { askAny, page, user } from "./brokers.js";
import { button, clock, dayOf, element, visible } from "./dom.js";

const KEPT = 500;                // ids of what was confirmed in this browser: a button that is pressed again does no harm
const ASK_MS = 25_000;           // between two questions about one message
const ASKED_MOST = 20;           // messages asked about at once, the newest: a page full of them is asked about in turns
const STORE = `newswire confirmed ${user}`;

const open = new Map();          // id -> the elements that ask for it, of messages that are not known to be confirmed
const asked = new Map();         // id -> when a broker was asked about it
let soon = 0;

function confirmedHere() {
  try { return JSON.parse(localStorage.getItem(STORE)) ?? []; } catch { return []; }
}

function keep(id) {
  try { localStorage.setItem(STORE, JSON.stringify([...confirmedHere().filter((one) => one !== id), id].slice(-KEPT))); } catch { /* no room, or not allowed */ }
}

function showConfirmed(id) {
  for (const made of open.get(id) ?? []) made.textContent = "✓ You have confirmed this.";
  open.delete(id);
}

/** Ask a broker about what is not confirmed yet, as far as it is in the page. Any time: it asks no more than it may. */
export async function lookForConfirmations() {
  if (!visible() || !page.acknowledges) return;
  for (const [id, lines] of open) {
    const there = lines.filter((made) => made.isConnected);
    if (there.length) open.set(id, there);
    else open.delete(id);
  }
  const due = [...open.keys()].filter((id) => !(Date.now() - asked.get(id) < ASK_MS)).slice(-ASKED_MOST);
  for (const id of due) {
    asked.set(id, Date.now());
    try {
      if (!(await askAny("/confirm", { username: user, id })).confirmed) continue;
      keep(id);
      showConfirmed(id);
    } catch { /* the button says what is wrong, if it is pressed */ }
  }
}

window.addEventListener("storage", (event) => { if (event.key === STORE) for (const id of confirmedHere()) showConfirmed(id); });

/** What stands below a message that asks for it; nothing on a page that shows another one's news. */
export function confirmLine(message) {
  const made = element("p", "confirm");
  if (!page.acknowledges) return made;
  if (confirmedHere().includes(message.id)) {
    made.textContent = "✓ You have confirmed this.";
    return made;
  }
  open.set(message.id, [...(open.get(message.id) ?? []), made]);
  soon ||= setTimeout(() => { soon = 0; lookForConfirmations(); }, 0);   // when it is in the page
  const until = new Date(Date.parse(message.time) + message.confirm * 1000);
  const day = until.toDateString() === new Date().toDateString() ? "" : `${dayOf(until)}, `;
  const words = element("span", "", `Please confirm by ${day}${clock(until)}.`);
  const pressed = button("", "Confirm", async () => {
    pressed.disabled = true;
    try {
      await askAny("/confirm", { username: user, id: message.id }, "POST");
      keep(message.id);
      showConfirmed(message.id);
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
