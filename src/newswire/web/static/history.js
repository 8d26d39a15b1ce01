// What was published before the page was open.

import { askAny, user } from "./brokers.js";

const SPANS = ["2d", "12h", "2h", "20m", "3m"];     // the longest that is not too much,
const SPANS_MORE = ["7d", "30d"];                   // or longer, while it is little
const LITTLE = 20;
const LIMIT = 300;
const PAGES = 20;                                   // of 1,000, where the last minutes held hundreds

/** Messages (of `topic`, or of all), as far back as is neither too much nor too little. */
export async function loadHistory(topic) {
  const fields = { username: user, limit: LIMIT, ...(topic ? { topic } : {}) };
  const since = (from, more) => askAny("/messages", { ...fields, since: from, ...more });
  let last = null, wider = null;
  for (const from of SPANS) {
    last = await since(from);
    if (!last.more) break;
    wider = last;
  }
  const few = last.messages.length < LITTLE;
  if (wider && (few || last.more)) return [...await readOn(since, wider), ...last.messages];
  if (!few) return last.messages;
  let all = last.messages;
  for (const from of SPANS_MORE) {
    const more = await since(from);
    if (more.more) break;
    all = more.messages;
  }
  return all;
}

/** Pages go forward only: on to the newest. */
async function readOn(since, first) {
  const all = [...first.messages];
  for (let at = first, pages = 0; at.more && pages < PAGES; pages++) {
    at = await since(at.messages.at(-1).event_id, { limit: 1_000 });
    all.push(...at.messages);
  }
  return all;
}
