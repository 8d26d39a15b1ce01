// The tokens of one user: the list, and making one, which is shown this once.

import { ask, choice, day, field, send, tell, wireForm } from "./access.js";
import { button, element } from "./dom.js";
import { patternFault } from "./names.js";

const DAY = 86_400;
const SPANS = [[String(365 * DAY), "for a year"], [String(90 * DAY), "for 90 days"], [String(30 * DAY), "for 30 days"], ["", "until it is revoked"]];

/** Fill `place` with the tokens of `username`; a form below makes one. */
export async function showTokens(place, username) {
  const list = element("ul", "rows"), said = element("output", "said"), form = formOf();
  place.replaceChildren(list, said, form);
  const load = async () => fill(list, await send("GET", "/tokens", { username }), revoke);
  const revoke = async (token, name) => {
    if (!(await ask(`Revoke ${name}? The program that uses it is signed out at once.`, "Revoke it"))) return;
    try {
      tell(said, (await send("DELETE", `/tokens/${encodeURIComponent(token.id)}`)).message);
      await load();
      form.querySelector("summary").focus();
    } catch (error) { tell(said, error.message, true); }
  };
  wireForm(form.querySelector("form"), async ({ label, expires, publish, subscribe }) => {
    const narrow = { publish: patterns(publish.value), subscribe: patterns(subscribe.value) };
    const wrong = [...narrow.publish, ...narrow.subscribe].map(patternFault).find(Boolean);
    if (wrong) throw new Error(wrong.why);
    const isNarrow = narrow.publish.length + narrow.subscribe.length > 0;
    const only = (words) => (isNarrow && !words.length ? [","] : words);      // a list without a word: to nothing
    const fields = { username, label: label.value.trim(), expires: expires.value };
    const made = await send("POST", "/tokens", isNarrow ? { ...fields, publish: only(narrow.publish), subscribe: only(narrow.subscribe) } : fields);
    form.querySelector("form").reset();
    form.open = false;
    await load();
    showOnce(place, made.token, form);
    return "";
  });
  try { await load(); } catch (error) { tell(said, error.message, true); }
}

const patterns = (text) => text.split(/[\s,]+/).filter(Boolean);

function fill(list, tokens, revoke) {
  list.replaceChildren(...tokens.map((token) => {
    const row = element("li"), words = element("div");
    const name = token.label || `token ${token.id}`;
    const limits = ["publish", "subscribe"].filter((verb) => token[verb])
      .map((verb) => `${verb === "publish" ? "publishes" : "reads"} ${token[verb].join(", ") || "nothing"}`);
    const until = token.expires ? `expires ${day(token.expires)}` : "never expires";
    words.append(element("b", "", name), element("span", "soft", [`made ${day(token.since)}`, until, ...limits].join(" · ")));
    const off = button("off", "Revoke", () => revoke(token, name));
    off.setAttribute("aria-label", `Revoke ${name}`);
    row.append(words, off);
    return row;
  }));
  if (!tokens.length) list.append(element("li", "soft", "No tokens."));
}

function formOf() {
  const made = element("details", "more"), form = element("form", "fields"), narrow = element("details", "narrow wide-field"), two = element("div", "fields");
  made.append(element("summary", "", "New token"), form);
  narrow.append(element("summary", "", "Let it do less"), two);
  two.append(field("May publish only to", { name: "publish", list: "topics", placeholder: "for example ops.backup.>" }), field("May read only", { name: "subscribe", list: "topics" }),
    element("p", "note", "Topics, with commas between. Left empty, the token may do what its user may."));
  form.append(field("What is it for?", { name: "label", maxLength: 64, required: true, placeholder: "for example nightly backup" }), choice("It counts", "expires", SPANS),
    element("button", "", "Make it"), narrow, Object.assign(element("p", "why"), { role: "alert" }));
  return made;
}

/** A token that nobody can see again, with a button that copies it. */
function showOnce(place, token, form) {
  place.querySelector(".once")?.remove();
  const box = element("div", "once"), shown = element("input"), row = element("div", "row"), said = element("output", "said");
  Object.assign(shown, { value: token, readOnly: true });
  shown.setAttribute("aria-label", "The new token");
  shown.addEventListener("focus", () => shown.select());
  const copy = button("", "Copy", async () => tell(said, (await copied(shown)) ? "Copied." : "Press Ctrl and C to copy it."));
  const done = button("off", "I have it", () => { box.remove(); form.querySelector("summary").focus(); });
  row.append(shown, copy);
  box.append(element("p", "", "This is the token. Copy it now: nobody can see it again."), row, said, done);
  form.before(box);
  copy.focus();
}

/** The clipboard is there for pages that came by https, or from this machine; else the selection is copied. */
async function copied(input) {
  try {
    await navigator.clipboard.writeText(input.value);
    return true;
  } catch {
    input.select();
    return document.execCommand("copy");
  }
}
