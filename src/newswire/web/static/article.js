// The elements of messages, gaps and days.

import { confirmLine } from "./confirm.js";
import { $, button, clock, element, hasTwelveHours, link, plural } from "./dom.js";
import { pictureOf } from "./emoji.js";
import { firstPieces, isAddress, linkPieces } from "./links.js";
import { markdownNodes } from "./markdown.js";

const TEXT_CHARS = 1_500;        // of a text, before "Show all"
const PRIORITIES = { 1: "lowest", 2: "low", 4: "high", 5: "highest" };

document.documentElement.classList.toggle("twelve", hasTwelveHours());

export const dateOf = (at) => new Date(at).toDateString();
export const isNews = (node) => node.matches("article, .gap");

export function day(date) {
  const now = new Date(), when = new Date(date);
  if (date === now.toDateString()) return "Today";
  if (date === new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1).toDateString()) return "Yesterday";
  return when.toLocaleDateString(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
}

export function dayHeading(date) {
  const made = element("h2", "day", day(date));
  made.dataset.date = date;
  return made;
}

/** `at`: ms, when what it stands in the place of was published, if that is another time. */
export function article(message, at = Date.parse(message.time)) {
  const when = new Date(at), changed = new Date(message.time), high = message.priority >= 4;
  const made = element("article", message.priority >= 5 ? "high highest" : high ? "high" : "");
  made.dataset.topic = message.topic;
  made.dataset.id = message.id;
  const time = element("time", "", clock(when));
  time.dateTime = when.toISOString();
  time.title = when.toLocaleString();
  const head = element("div", "topic", message.topic);
  const since = message.replaces ? `changed ${dateOf(at) === dateOf(changed) ? "" : `${day(dateOf(changed))} `}${clock(changed)}` : "";
  const beside = [message.publisher, PRIORITIES[message.priority] ?? "", since].filter(Boolean);
  if (beside.length) head.append(" ", element("i", "", `· ${beside.join(" · ")}`));
  const body = element("div");
  body.append(head);
  if (message.title) body.append(withLinks(element("h3"), linkPieces(message.title)));
  if (message.data) body.append(...((message.markdown && markdown(message.data, message.title ? 4 : 3)) || text(message.data)));
  if (message.click && isAddress(message.click)) body.append(link(message.click));
  if (message.tags?.length) {
    const tags = element("ul", "tags");
    tags.append(...message.tags.map(tagOf));
    body.append(tags);
  }
  if (message.confirm) body.append(confirmLine(message));
  made.append(time, body);
  return made;
}

function tagOf(tag) {
  const picture = pictureOf(tag), made = element("li", "tag", picture ? "" : tag);
  if (picture) {
    const shown = element("span", "", picture);
    shown.setAttribute("aria-hidden", "true");
    made.append(shown, ` ${tag}`);
  }
  return made;
}

/** Markdown as elements, folded where it is long; null where it is shown as it is. */
function markdown(whole, level) {
  const made = element("div", "markdown"), nodes = markdownNodes(whole, level);
  if (!nodes) return null;
  made.append(...nodes);
  if (whole.length <= TEXT_CHARS * 1.2) return [made];
  made.classList.add("folded");
  const more = button("whole", `Show all ${plural(whole.length, "character")}`, () => {
    made.classList.remove("folded");
    made.tabIndex = -1;
    made.focus({ preventScroll: true });
    more.remove();
  });
  return [made, more];
}

function withLinks(parent, pieces) {
  parent.append(...pieces.map(({ text, href }) => (href ? link(href) : text)));
  return parent;
}

function text(whole) {
  if (whole.length <= TEXT_CHARS * 1.2) return [withLinks(element("p"), linkPieces(whole))];
  const shown = withLinks(element("p"), firstPieces(whole, TEXT_CHARS));
  shown.append("…");
  const more = button("whole", `Show all ${plural(whole.length, "character")}`, () => {
    shown.replaceChildren();
    withLinks(shown, linkPieces(whole));
    shown.tabIndex = -1;
    shown.focus({ preventScroll: true });
    more.remove();
  });
  return [shown, more];
}

function withdrawnLine({ message, at }) {
  const made = element("article", "withdrawn"), time = element("time", "", clock(new Date(at)));
  made.dataset.topic = message.topic;
  made.dataset.id = message.id;
  time.dateTime = new Date(at).toISOString();
  const body = element("div");
  body.append(element("div", "topic", message.topic), element("p", "", "This message was withdrawn."));
  made.append(time, body);
  return made;
}

/** What is not there, and why (`reason`: of a gap event; without one it was retention). */
function gapLine({ gap: { topic, dropped, reason } }) {
  const one = dropped === 1, older = plural(dropped, "older message"), some = plural(dropped, "message");
  const said = {
    retention: `${older} of ${topic} ${one ? "was" : "were"} removed by retention before you read ${one ? "it" : "them"}.`,
    waiting: `${some} of ${topic} ${one ? "waits" : "wait"} behind damage on a broker's disk, and ${one ? "comes" : "come"} in here when it is mended.`,
    lost: `Up to ${some} of ${topic} ${one ? "was" : "were"} lost to damage on a broker's disk, and given up by an operator.`,
  };
  return element("p", "gap", said[reason || "retention"] ?? `${some} of ${topic} cannot be shown (${reason}).`);
}

function newSince(before) {
  const when = new Date(before.at), date = dateOf(before.at);
  return element("div", "news", `new since ${date === new Date().toDateString() ? "" : `${day(date)} `}${clock(when)}`);
}

/** The elements of `record`, which stands after `before`; with the line if it is the first that is new. */
export function nodes(record, before, isNew) {
  const made = [];
  const date = dateOf(record.at);
  if (!before || dateOf(before.at) !== date) made.push(dayHeading(date));
  if (isNew && before) made.push(newSince(before));
  made.push(record.withdrawn ? withdrawnLine(record) : record.message ? article(record.message, record.at) : gapLine(record));
  return made;
}

/** Days have new names after midnight. */
export function renameDays() {
  for (const heading of document.querySelectorAll(".day")) {
    const name = day(heading.dataset.date);
    if (heading.textContent !== name) heading.textContent = name;
  }
}

let unheard = [], hearing = 0;
const HEARD_MS = 3_000;          // between two announcements to a screen reader

/** Tell a screen reader what came, shortly: the log itself would have each of a hundred messages read out. */
export function announce(records) {
  unheard.push(...records.filter((record) => record.message && !record.withdrawn));
  if (unheard.length) hearing ||= setTimeout(() => {
    const [{ message }] = unheard;
    $("heard").textContent = unheard.length > 1 ? `${unheard.length} new messages` : `${message.topic}: ${message.title ?? message.data.slice(0, 200)}`;
    hearing = 0;
    unheard = [];
  }, HEARD_MS);
}
