// What the pages about people share: asking the broker, saying what came of it, questions, small parts.

import { $, button, element } from "./dom.js";

const ASK_MS = 15_000;

export const page = JSON.parse($("page").textContent);

/** Ask this broker. Throws an Error with a sentence for people, and the broker's `code`. */
export async function send(method, path, fields = {}) {
  const pairs = Object.entries(fields).flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
  const words = new URLSearchParams(pairs.filter(([, value]) => value !== "" && value !== undefined));
  const inBody = method === "POST";
  let answer;
  try {
    answer = await fetch(`${path}${!inBody && words.size ? `?${words}` : ""}`, {
      method, body: inBody ? words : undefined, headers: { Accept: "application/json" }, signal: AbortSignal.timeout(ASK_MS),
    });
  } catch {
    throw new Error(navigator.onLine === false ? "This device is offline." : "The broker does not answer. Try again in a moment.");
  }
  const said = await answer.json().catch(() => ({}));
  if (answer.status === 401) {
    showSignedOut();
    throw Object.assign(new Error("You are signed out: nothing was done."), { code: "unauthenticated" });
  }
  if (!answer.ok) throw Object.assign(new Error(sentence(said.detail ?? `The broker says ${answer.status}.`)), { code: said.code ?? "" });
  $("notice").hidden = true;
  return said;
}

function showSignedOut() {
  const notice = $("notice"), go = element("a", "", "Sign in");
  go.href = "/login?next=/account";
  go.target = "_blank";
  notice.replaceChildren("You are signed out. ", go, " in another tab, and go on here: what you have typed stays.");
  notice.hidden = false;
}

export const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

/** Say in `place` what came of something. */
export function tell(place, text, bad = false) {
  place.textContent = text;
  place.classList.toggle("bad", bad);
}

/** What a form does when it is sent: `act(fields)` says a sentence, or throws one; nothing is sent twice at once. */
export function wireForm(form, act) {
  const press = form.querySelector("button:not([type])"), why = form.querySelector(".why");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (press.getAttribute("aria-disabled")) return;
    press.setAttribute("aria-disabled", "true");
    tell(why, "");
    try {
      const said = await act(form.elements);
      if (said) tell(why, said);
    } catch (error) {
      tell(why, error.message, true);
    } finally {
      press.removeAttribute("aria-disabled");
    }
  });
}

/** A question that is answered before something is done that cannot be undone: resolves to whether to do it. */
export function ask(question, yes) {
  return new Promise((done) => {
    const dialog = element("dialog", "ask"), form = element("form"), row = element("div", "answers");
    form.method = "dialog";
    const no = button("", "Cancel", () => dialog.close()), go = element("button", "danger", yes);
    go.value = "yes";
    row.append(no, go);
    form.append(element("p", "", question), row);
    dialog.append(form);
    dialog.setAttribute("aria-label", question);
    dialog.addEventListener("close", () => { done(dialog.returnValue === "yes"); dialog.remove(); });
    document.body.append(dialog);
    dialog.showModal();
    no.focus();
  });
}

/** A field with its label around it. */
export function field(label, { list = "", ...attributes }) {
  const made = element("label", "", label), input = element("input");
  Object.assign(input, { autocomplete: "off", spellcheck: false, autocapitalize: "off" }, attributes);
  if (list) input.setAttribute("list", list);
  made.append(input);
  return made;
}

/** A list to choose from, with its label around it: `choices` are pairs of value and words. */
export function choice(label, name, choices) {
  const made = element("label", "", label), select = element("select");
  select.name = name;
  for (const [value, words] of choices) select.append(Object.assign(element("option", "", words), { value }));
  made.append(select);
  return made;
}

export function day(when) {
  return when ? new Date(when).toLocaleDateString(undefined, { day: "numeric", month: "long", year: "numeric" }) : "";
}

/** Rights in words: what somebody may read and publish, a line each. */
export function rightsIn(words) {
  const list = (verb) => words.filter((one) => one.verb === verb).map((one) => one.topic);
  return [["May read", list("subscribe")], ["May publish", list("publish")]];
}

export const inWords = (pattern) => (pattern === ">" ? "everything" : pattern);
