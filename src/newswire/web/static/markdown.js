// A text that says it is Markdown, as elements. `marked` reads it; what is made of its tokens is made here, one element for each
// kind that is known, and text for all else: no HTML is ever read, so there is none to be cleaned. A picture is a link, which
// loads nothing until somebody follows it.

import { element, link } from "./dom.js";
import { isAddress, linkPieces } from "./links.js";
import { lexer } from "./marked.js";

const MOST_CHARS = 10_000;       // of a text: what takes longest to read takes a tenth of a second; a longer one is shown as it is
const DEEP = /^(?:[ \t]*>){16}/m;  // quotes in quotes, each of which is read once more
const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", "#39": "'" };
const INLINE = { strong: "strong", em: "em", del: "s" };

let levels = [];                 // of the headings of the text that is read: the depth of each kind, from the outermost in
let outermost = 3;

/**
 * The elements that show `text`, whose outermost headings are of this `level`; null where it is shown as it is: it is long, or nested
 * deeper than can be read.
 */
export function markdownNodes(text, level = 3) {
  if (text.length > MOST_CHARS || DEEP.test(text)) return null;
  try {
    const tokens = lexer(text, { gfm: true, breaks: true });
    levels = [...new Set(tokens.filter(({ type }) => type === "heading").map(({ depth }) => depth))].sort();
    outermost = level;
    return blocks(tokens);
  } catch {
    return null;
  }
}

const blocks = (tokens = []) => tokens.flatMap(block);

function block(token) {
  if (token.type === "space" || token.type === "def") return [];
  if (token.type === "heading") return [filled(`h${Math.min(6, outermost + Math.max(0, levels.indexOf(token.depth)))}`, inlines(token.tokens))];
  if (token.type === "paragraph") return [filled("p", inlines(token.tokens))];
  if (token.type === "text") return token.tokens ? inlines(token.tokens) : plain(token.text);
  if (token.type === "code") return [filled("pre", [element("code", "", token.text)])];
  if (token.type === "blockquote") return [filled("blockquote", blocks(token.tokens))];
  if (token.type === "hr") return [element("hr")];
  if (token.type === "list") return [list(token)];
  if (token.type === "table") return [table(token)];
  return [element("p", "", token.raw)];
}

function list(token) {
  const made = filled(token.ordered ? "ol" : "ul", token.items.map((item) => {
    const tick = item.task ? [item.checked ? "☑ " : "☐ "] : [];
    const line = filled("li", [...tick, ...blocks(item.tokens.filter(({ type }) => type !== "checkbox"))]);
    if (item.task) line.className = "task";
    return line;
  }));
  if (token.ordered && token.start > 1) made.start = token.start;
  return made;
}

function table({ header, rows }) {
  const row = (tag, cells) => filled("tr", cells.map((cell) => filled(tag, inlines(cell.tokens))));
  const made = filled("table", [filled("thead", [row("th", header)]), filled("tbody", rows.map((cells) => row("td", cells)))]);
  const around = filled("div", [made]);
  around.className = "wide-table";
  around.tabIndex = 0;             // it scrolls sideways by keyboard
  return around;
}

const inlines = (tokens = []) => tokens.flatMap(inline);

function inline(token) {
  if (token.type in INLINE) return [filled(INLINE[token.type], inlines(token.tokens))];
  if (token.type === "codespan") return [element("code", "", token.text)];
  if (token.type === "br") return [element("br")];
  if (token.type === "link") return anchor(token.href, inlines(token.tokens), token.text);
  if (token.type === "image") return anchor(token.href, [`🖼 ${token.text || "picture"}`], token.text);
  if (token.type === "text" && token.tokens) return inlines(token.tokens);
  return token.type === "text" ? plain(token.text) : [token.type === "escape" ? token.text : token.raw];
}

/** A link whose address can be seen before it is followed; where it is none that may be followed, what it says and the address. */
function anchor(href, shown, text) {
  if (!isAddress(href)) return [...shown.map((one) => (one.querySelector?.("a") ? one.textContent : one)), href === text ? "" : ` (${href})`];
  const made = link(href);
  if (href !== text) {
    made.replaceChildren(...shown.map((one) => (one.nodeName === "A" || one.querySelector?.("a") ? one.textContent : one)));
    made.title = href;
  }
  return [made];
}

/** Text with its entities read. What `marked` leaves as text has no address in it, but such as GFM has no rule for. */
function plain(text) {
  const read = text.replace(/&(\w{2,4}|#39);/g, (whole, name) => ENTITIES[name] ?? whole);
  return linkPieces(read).map(({ text: piece, href }) => (href ? link(href) : piece));
}

function filled(tag, children) {
  const made = element(tag);
  made.append(...children);
  return made;
}
