// Names of topics, patterns and users: what belongs to a pattern, what is wrong with a name, and which one was perhaps meant.
// Pure. The broker's rules decide (core/model/names.py, core/model/offers.py); these say the same in the words of a page, before anything
// is sent.

const TOPIC_CHARS = 128, USERNAME_CHARS = 64;
const TOPIC = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/;
const PATTERN = /^((?:[A-Za-z0-9_-]+|\*)(?:\.(?:[A-Za-z0-9_-]+|\*))*(?:\.>)?|>)$/;
const USERNAME = /^[A-Za-z0-9_.@-]+$/;

export const isPattern = (name) => /[*>]/.test(name);

/** Whether `topic` belongs to `pattern` (`*` one level, `>` the rest; "" is everything). */
export function matches(pattern, topic) {
  if (pattern === "" || pattern === topic) return true;
  if (!isPattern(pattern)) return false;
  const want = pattern.split("."), have = topic.split(".");
  if (want.at(-1) === ">") { want.pop(); if (have.length <= want.length) return false; have.length = want.length; }
  return want.length === have.length && want.every((word, i) => word === "*" || word === have[i]);
}

/** What is wrong with a topic to publish to: null, or `{ why, instead }`, a sentence and a name that would do ("" if none). */
export function topicFault(name) {
  if (isPattern(name) && PATTERN.test(name)) {
    return { why: "* and > are for subscriptions only: name one topic to publish to.", instead: "" };
  }
  return fault("A topic", name, TOPIC, TOPIC_CHARS, "_ and -, with . between levels", topicLike);
}

/** What is wrong with a topic or pattern to subscribe to, in the same form. */
export function patternFault(name) {
  const whole = isPattern(name) && !PATTERN.test(name) ? " * stands for one whole level, > at the end for all that follow." : "";
  const found = fault("A topic", name, PATTERN, TOPIC_CHARS, "_ and -, with . between levels", patternLike);
  return found && { ...found, why: found.why + whole };
}

/** What is wrong with a username, in the same form. */
export function usernameFault(name) {
  return fault("A name here", name, USERNAME, USERNAME_CHARS, "_, -, . and @", usernameLike);
}

function fault(what, name, rule, most, signs, like) {
  if (name.length <= most && rule.test(name)) return null;
  const near = like(name), instead = near.length <= most && rule.test(near) ? near : "";
  if (name === "") return { why: `${what} is missing.`, instead: "" };
  const bad = strangers(name, signs);
  const has = bad ? ` This one has ${bad}.` : name.length > most ? ` This one has ${name.length} characters, ${most} are the most.` : "";
  return { why: `${what} is made of the letters a to z and A to Z (no accents), digits, ${signs}.${has}`, instead };
}

/** The signs of `name` that may stand in none, as a list in words: "spaces, ö and ü". */
function strangers(name, signs) {
  const words = [];
  if (/\s/u.test(name)) words.push("spaces");
  for (const sign of new Set(name.normalize("NFC"))) {
    if (/[A-Za-z0-9\s]/u.test(sign) || signs.includes(sign) || "*>".includes(sign)) continue;
    words.push(/[\p{C}\p{M}\p{Z}]/u.test(sign) ? "a sign that cannot be seen" : sign);
  }
  const few = [...new Set(words)];
  if (few.length > 4) few.splice(3, few.length, "other signs");
  return few.length > 1 ? `${few.slice(0, -1).join(", ")} and ${few.at(-1)}` : few[0] ?? "";
}

const SPELLED = {
  ä: "ae", ö: "oe", ü: "ue", Ä: "Ae", Ö: "Oe", Ü: "Ue", ß: "ss", ẞ: "SS", æ: "ae", Æ: "Ae", œ: "oe", Œ: "Oe", ø: "o", Ø: "O",
  ł: "l", Ł: "L", đ: "d", Đ: "D", ı: "i", ð: "d", Ð: "D", þ: "th", Þ: "Th", "–": "-", "—": "-",
};

/** `text` in ASCII, as it is commonly spelled without other letters; what has no such spelling is left out. */
function ascii(text) {
  const spelled = [...text.normalize("NFC")].map((sign) => SPELLED[sign] ?? sign).join("");
  return spelled.normalize("NFKD").replace(/[^\x00-\x7f]/g, "");
}

const level = (text) => text.trim().replace(/\s+/g, "-").replace(/[^A-Za-z0-9_-]/g, "").replace(/^-+|-+$/g, "");
const wildLevel = (text) => ({ "*": "*", "+": "*", ">": ">", "#": ">", "**": ">" })[text.trim()] ?? level(text);
const levels = (text, like) => ascii(text).split(/[/\\:.]+/).map(like).filter(Boolean).join(".");
const topicLike = (text) => levels(text, level);
const patternLike = (text) => /[A-Za-z0-9_-][*>]|[*>][A-Za-z0-9_-]/.test(text) ? "" : levels(text, wildLevel);
const usernameLike = (text) => ascii(text).toLowerCase().trim().split(/\s+/)
  .map((word) => word.replace(/[^a-z0-9_.@-]/g, "").replace(/^[._@-]+|[._@-]+$/g, "")).filter(Boolean).join(".");
