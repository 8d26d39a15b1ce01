// A line of what happened, in words. Pure.

const WORDS = {
  "signed-in": ({ who, detail }) => `${who} signed in${from(detail)}`,
  "sign-in-failed": ({ who, detail }) => !who ? `more sign-ins failed: ${detail}` : `somebody${detail ? ` at ${detail}` : ""} failed to sign in as ${who}`,
  "signed-out": ({ who }) => `${who} signed out`,
  published: ({ by, topic, detail }) => `${by || "somebody"} published to ${topic}${detail ? ` ${detail}` : ""}`,
  withdrew: ({ by, topic, detail }) => `${by || "somebody"} withdrew from ${topic}: ${detail}`,
  "added-user": ({ by, who, detail }) => `${by || "a broker"} added ${who}${detail ? ` (${detail})` : ""}`,
  "removed-user": ({ by, who }) => `${by} removed ${who}`,
  "set-password": ({ by, who }) => (!by || by === who ? `${who} changed the password` : `${by} set the password of ${who}`),
  "reset-admin-password": ({ who, detail }) => `${detail} set the password of the admin ${who}, as whoever started it asked`,
  "created-token": ({ by, who, detail }) => `${by} made a token${by === who ? "" : ` for ${who}`}${detail ? `: ${detail}` : ""}`,
  "revoked-token": ({ by, who, detail }) => `${by} revoked a token${!who || by === who ? "" : ` of ${who}`}${detail ? `: ${detail}` : ""}`,
  granted: ({ by, who, verb, topic }) => `${by} let ${everybody(who)} ${may(verb)} ${topic}`,
  "revoked-grant": ({ by, who, verb, topic }) => `${by} took away from ${everybody(who)}: ${may(verb)} ${topic}`,
  "added-broker": ({ by, who, detail }) => `${by ? `${by} added broker` : "broker"} ${who}${by ? "" : " joined"}${detail ? ` at ${detail}` : ""}`,
  "removed-broker": ({ by, who }) => `${by ? `${by} removed broker ${who}` : `broker ${who} left`}`,
  "asked-for-backup": ({ who, detail }) => `${who} asked for a backup${from(detail)}`,
  "asked-to-add-broker": ({ who, detail }) => `${who} asked to add a broker${from(detail)}`,
  "asked-to-remove-broker": ({ who, detail }) => `${who} asked to remove a broker${from(detail)}`,
  "asked-to-accept-loss": ({ who, detail }) => `${who} asked to give up what no broker could bring${from(detail)}`,
  "asked-to-compact": ({ who, detail }) => `${who} asked for a compaction${from(detail)}`,
  "accepted-loss": ({ by, detail }) => `${by || "an operator"} gave up what no broker could bring: ${detail}`,
};

const from = (address) => (address ? ` from ${address}` : "");
const everybody = (who) => (who === "*" ? "everybody" : who);
const may = (verb) => (verb === "subscribe" ? "read" : "publish to");

/** What a row of `GET /audit` says; of a kind that a later broker knows, its words as they are. */
export function trailLine(row) {
  const known = Object.hasOwn(WORDS, row.what) ? WORDS[row.what] : null;
  if (known) return known(row);
  return [row.by, row.what, row.who, row.verb, row.topic, row.detail].filter(Boolean).join(" ");
}
