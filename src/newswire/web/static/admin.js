// The admins' page: who may sign in, what each may read and publish, tokens, passwords, and what happened.

import { ask, choice, day, field, inWords, page, send, tell, wireForm } from "./access.js";
import { $, button, element } from "./dom.js";
import { showFault, wireFault } from "./fault.js";
import { patternFault, usernameFault } from "./names.js";
import { showTokens } from "./tokens.js";
import { trailLine } from "./trail.js";

const ALL = "*";
let grants = [];

// -- the list --------------------------------------------------------------------------------------------------------------

async function load() {
  const [users, rows] = await Promise.all([send("GET", "/users"), send("GET", "/grants")]);
  grants = rows;
  const there = new Map([...$("users").children].map((card) => [card.dataset.card, card]));
  const names = [ALL, ...users.map((user) => user.username).sort((a, b) => a.localeCompare(b))];
  const of = new Map(users.map((user) => [user.username, user]));
  const cards = names.map((name) => {
    const card = there.get(cardOf(of.get(name))) ?? newCard(of.get(name));
    showGrants(card, name);
    return card;
  });
  $("users").replaceChildren(...cards);
}

/** A user who was removed and added again is another one. */
const cardOf = (user) => (user ? `${user.username} ${user.since}` : ALL);

function newCard(user) {
  const name = user?.username ?? ALL, card = element("details", "user"), head = element("summary");
  card.dataset.card = cardOf(user);
  head.append(element("b", "", user ? name : "Everybody who is signed in"));
  if (user?.admin) head.append(element("span", "tag", "admin"));
  head.append(element("span", "soft sum"));
  card.append(head, grantsPart(name, user));
  if (user) card.addEventListener("toggle", () => { if (card.open && card.children.length === 2) card.append(...ownParts(user)); });
  return card;
}

function ownParts(user) {
  const keys = element("div"), word = element("form", "fields quiet"), name = user.username;
  showTokens(keys, name);
  word.append(field("New password", { name: "password", type: "password", required: true, minLength: 8, autocomplete: "new-password" }), element("button", "", "Set password"), Object.assign(element("p", "why"), { role: "alert" }));
  wireForm(word, async ({ password }) => {
    const said = await send("POST", `/users/${encodeURIComponent(name)}/password`, { password: password.value });
    word.reset();
    return `${said.message}. Tell it to ${name}, who can change it.`;
  });
  const parts = [element("h3", "", "Tokens"), keys, element("h3", "", "Password"), word];
  if (name !== page.username) parts.push(button("danger remove", `Remove ${name} …`, () => remove(name)));
  parts.push(element("p", "note", `Here since ${day(user.since)}.`));
  return parts;
}

async function remove(name) {
  if (!(await ask(`Remove ${name}, with all tokens, rights and subscriptions? It cannot be undone.`, `Remove ${name}`))) return;
  try {
    const { message } = await send("DELETE", `/users/${encodeURIComponent(name)}`);
    await load();
    tell($("said"), `${message}.`);
    $("all").focus();
  } catch (error) { tell($("said"), error.message, true); }
}

// -- rights ----------------------------------------------------------------------------------------------------------------

function grantsPart(name, user) {
  const part = element("div"), form = element("form", "fields"), offer = button("offer", "");
  offer.hidden = true;
  const why = Object.assign(element("p", "why"), { role: "alert", id: `why ${name}`.replace(" ", "-") });
  form.append(choice("May", "verb", [["subscribe", "read"], ["publish", "publish to"]]),
    field("Topic", { name: "topic", list: "topics", required: true, maxLength: 128, placeholder: "for example finance.>" }),
    element("button", "", "Allow"), why, offer,
    element("p", "note", "finance is one topic; finance.> are all topics below it; > alone is everything."));
  const { topic } = form.elements;
  wireFault(topic, why, offer);
  wireForm(form, async ({ verb }) => {
    const wrong = patternFault(topic.value.trim());
    showFault(topic, why, offer, wrong);
    if (wrong) { topic.focus(); throw new Error(wrong.why); }
    await send("POST", "/grants", { who: name, verb: verb.value, topic: topic.value.trim() });
    topic.value = "";
    await load();
    topic.focus();
    return "";
  });
  part.append(element("h3", "", "Rights"), user?.admin ? element("p", "", "An admin: may read and publish everything.") : element("ul", "rows grants"), form);
  if (user?.admin) form.remove();
  return part;
}

function showGrants(card, name) {
  const mine = grants.filter((one) => one.who === name), list = card.querySelector(".grants");
  const words = ["subscribe", "publish"].map((verb) => [verb, mine.filter((one) => one.verb === verb).map((one) => inWords(one.topic))]);
  card.querySelector(".sum").textContent = list ? words.filter(([, topics]) => topics.length)
    .map(([verb, topics]) => `${verb === "subscribe" ? "reads" : "publishes"} ${topics.join(", ")}`).join(" · ") || "no rights yet" : "";
  if (!list) return;
  list.replaceChildren(...mine.map((one) => {
    const row = element("li"), said = `${one.verb === "subscribe" ? "read" : "publish to"} ${inWords(one.topic)}`;
    const off = button("off", "Take away", () => takeAway(one, said, card));
    off.setAttribute("aria-label", `Take away: may ${said}`);
    row.append(element("span", "", `may ${said}`), off);
    return row;
  }));
  if (!mine.length) list.append(element("li", "soft", "None."));
}

async function takeAway(grant, said, card) {
  const who = grant.who === ALL ? "everybody" : grant.who;
  if (!(await ask(`Take away from ${who} that they may ${said}? Streams that need it end within seconds.`, "Take it away"))) return;
  try {
    await send("DELETE", "/grants", { who: grant.who, verb: grant.verb, topic: grant.topic });
    await load();
    card.querySelector("summary").focus();
    tell($("said"), "It is taken away.");
  } catch (error) { tell($("said"), error.message, true); }
}

// -- adding ----------------------------------------------------------------------------------------------------------------

function wireAdd() {
  const form = $("add"), { username } = form.elements, why = form.querySelector(".why"), offer = form.querySelector(".offer");
  why.id = "why";
  wireFault(username, why, offer);
  wireForm(form, async ({ password, admin }) => {
    const wrong = usernameFault(username.value.trim());
    showFault(username, why, offer, wrong);
    if (wrong) { username.focus(); throw new Error(wrong.why); }
    const name = username.value.trim();
    await send("POST", "/users", { username: name, password: password.value, admin: admin.checked ? "true" : "" });
    const isProgram = !password.value;
    form.reset();
    await load();
    const card = [...$("users").children].find((one) => one.dataset.card.startsWith(`${name} `));
    card.open = true;
    card.querySelector("summary").focus();
    card.scrollIntoView({ block: "nearest" });
    return `${name} is added. ${isProgram ? "Now make a token, and say" : "Now say"} what ${name} may read and publish.`;
  });
}

// -- what happened ---------------------------------------------------------------------------------------------------------

$("audit").addEventListener("toggle", async () => {
  if (!$("audit").open) return;
  const list = $("audit").querySelector("ol");
  try {
    const rows = await send("GET", "/audit", { limit: "100" });
    list.replaceChildren(...rows.reverse().map((row) => {
      const line = element("li"), time = element("time", "", new Date(row.time).toLocaleString(undefined, { dateStyle: "short", timeStyle: "short" }));
      time.dateTime = row.time;
      line.append(time, element("span", "", trailLine(row)));
      return line;
    }));
    if (!rows.length) list.append(element("li", "soft", "Nothing yet."));
  } catch (error) { list.replaceChildren(element("li", "bad", error.message)); }
});

wireAdd();
load().catch((error) => tell($("said"), error.message, true));
send("GET", "/topics").then((rows) => $("topics").append(...rows.slice(0, 200).map((row) => Object.assign(element("option"), { value: row.topic }))), () => {});
