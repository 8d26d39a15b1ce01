// Names of topics, patterns and users: what belongs to a pattern, what is wrong with a name, and which one was perhaps meant.
// Pure. The broker's rules decide (core/topics.py); these say the same in the words of a page, before anything is sent.

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
  return fault("A name here", name, USERNAME, USERNAME_CHARS, "_, -, . and @", (text) => usernameLike(text));
}

function fault(what, name, rule, most, signs, like) {
  if (name.length <= most && rule.test(name)) return null;
  const near = like(name).slice(0, most).replace(/[.-]+$/, "");
  const instead = near !== name && rule.test(near) ? near : "";
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

const SPELLED = { ä: "ae", ö: "oe", ü: "ue", ß: "ss", æ: "ae", ø: "oe", å: "aa", œ: "oe", đ: "d", ð: "d", þ: "th", ł: "l", ı: "i" };

/** `text` in ASCII letters, as it is commonly spelled without the others; what has no such spelling stays. */
function spell(text) {
  const spelled = [...text.normalize("NFC")].map((sign) => {
    const found = SPELLED[sign.toLowerCase()];
    if (!found) return sign;
    if (sign === sign.toLowerCase()) return found;
    return text === text.toUpperCase() ? found.toUpperCase() : found[0].toUpperCase() + found.slice(1);
  });
  return spelled.join("").normalize("NFKD").replace(/\p{M}/gu, "");
}

const joined = (text, others) => spell(text.trim()).replace(others, "-").replace(/-{2,}/g, "-");
const tidy = (level) => level.replace(/^-+|-+$/g, "");
const topicLike = (text) => joined(text.replace(/[/\\:]+/g, "."), /[^A-Za-z0-9_.-]+/g).split(".").map(tidy).filter(Boolean).join(".");
const patternLike = (text) => joined(text.replace(/[/\\:]+/g, ".").replace(/(?<=[^\s.])\s*([*>])/g, ".$1"), /[^A-Za-z0-9_.*>-]+/g)
  .split(".").map((level) => (level === "*" || level === ">" ? level : tidy(level.replace(/[*>]/g, "")))).filter(Boolean).join(".");
const usernameLike = (text) => tidy(joined(text.replace(/\s+/gu, "."), /[^A-Za-z0-9_.@-]+/g));
