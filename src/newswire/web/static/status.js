// What the page says of itself, in words: how the connection stands, what was done, what it may not do.

import { $, clock } from "./dom.js";

let connection = { kind: "", text: "connecting", detail: "", reason: "", serving: "" };
let forbidden = "";              // why a broker refuses what this page asks for, "" while it does not
let signedOut = false;
let reasonTold = "";

/** How the connection stands. */
export function showState(state) {
  connection = state;
  show();
  if (state.reason && state.reason !== reasonTold) tell(state.reason, state.kind === "silent");
  if (!state.reason && reasonTold && $("said").textContent === reasonTold) tell("");
  reasonTold = state.reason;
}

/** A broker refused what this page asked for, `why` in its words: it may only read. */
export function showForbidden(why) {
  if (forbidden === why) return;
  forbidden = why;
  $("notice").textContent = `This page may only show news: the broker does not take note of what you read here, and takes nothing to publish. It says: ${why}.`;
  $("notice").hidden = false;
  show();
}

/** Nobody is signed in: `before` and `after` stand around the `link` to where one signs in. */
export function showSignedOut(before, link, after) {
  signedOut = true;
  $("notice").replaceChildren(before, link, after);
  $("notice").hidden = false;
}

/** And now somebody is. */
export function showSignedIn() {
  if (signedOut) $("notice").hidden = true;
  signedOut = false;
}

/** And now a broker takes it. */
export function showAllowed() {
  if (!forbidden) return;
  forbidden = "";
  $("notice").hidden = true;
  show();
}

function show() {
  const pill = $("state"), readOnly = forbidden && connection.serving;
  const text = readOnly ? connection.text.replace(/^live/, "read only") : connection.text;
  if (pill.textContent !== text) pill.textContent = text;     // a screen reader reads each change, so only changes
  pill.className = `state ${readOnly ? "moved" : connection.kind}`;
  pill.title = connection.detail;
  showStale();
}

/** Under the news, where nothing comes in: how old they are. */
function showStale() {
  const { kind, lostSince, detail } = connection, stale = kind === "silent" && lostSince;
  const said = stale ? `Nothing has come in since ${clock(new Date(lostSince))}: what stands here may be out of date, and what is missing comes in by itself. ${detail}`.trim() : "";
  if ($("stale").textContent !== said) $("stale").textContent = said;
  $("stale").hidden = !said;
}

/** Whether a refusal is of this page, wherever it asks: a broker takes it for another site's, or its address for no name of its own. */
export const isForbidden = (error) => error.code === "cross-site" || error.code === "misdirected";

/** What came of what somebody did. */
export function tell(text, bad = false) {
  $("said").textContent = text;
  $("said").classList.toggle("bad", bad);
}
