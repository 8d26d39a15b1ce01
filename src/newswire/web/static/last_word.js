// When a broker was last heard by a page of this browser, whose, and which brokers there are: for the page that opens when none
// answers, and for the one that asks for a name.

const KEY = "newswire last word";
const NOTE_MS = 5_000;
let noted = 0;

/** A broker of `brokers` (addresses) has said something now to the page of `user`. */
export function noteLastWord(brokers, user, now = Date.now()) {
  if (now - noted < NOTE_MS) return;
  noted = now;
  try { localStorage.setItem(KEY, JSON.stringify({ at: now, brokers, user })); } catch { /* storage is switched off: nobody knows, then */ }
}

/** `{ at, brokers, user }`: when (ms; 0 if nobody knows), the brokers of then, and whose page it was. */
export function lastWord() {
  try {
    const { at, brokers, user } = JSON.parse(localStorage.getItem(KEY));
    return { at, user: `${user}`, brokers: brokers.filter((address) => /^(https:\/\/)?[\w.:[\]-]+$/.test(address)) };
  } catch { return { at: 0, brokers: [], user: "" }; }
}
