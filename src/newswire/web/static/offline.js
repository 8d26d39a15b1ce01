// The page that opens when no broker answers: it says so, since when, and goes on by itself when one does.

import { $, clock } from "./dom.js";
import { lastWord } from "./last_word.js";

const AGAIN_MS = 3_000;
const ANSWER_MS = 2_500;

const { at, brokers } = lastWord();
const isSecure = location.protocol === "https:";
const home = isSecure ? location.origin : location.host;
const others = brokers.filter((address) => address !== home && address.startsWith("https://") === isSecure);
const placeOf = (address) => (isSecure ? address : `http://${address}`);

function since() {
  const when = new Date(at), today = when.toDateString() === new Date().toDateString();
  return `${clock(when)}${today ? "" : `, ${when.toLocaleDateString(undefined, { weekday: "long", day: "numeric", month: "long" })}`}`;
}

function say() {
  const offline = navigator.onLine === false;
  $("state").textContent = at ? `${offline ? "offline" : "silent"} since ${since()}` : "no broker answers";
  $("what").textContent = offline ? "This device is offline." : "No broker answers.";
  $("tried").textContent = others.length ? `Tried: ${[home, ...others].join(", ")}.` : `Tried: ${home}.`;
}

/** Whether the broker at `address` answers at all; another one's answer no page may read. */
async function answers(address) {
  const own = address === home;
  try {
    const answer = await fetch(`${own ? "" : placeOf(address)}/livez`, { mode: own ? "same-origin" : "no-cors", cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(ANSWER_MS) });
    return own ? answer.ok : true;
  } catch { return false; }
}

let looking = false;

async function look() {
  if (looking) return;
  looking = true;
  if (await answers(home)) return void location.reload();
  for (const address of others) {
    if (await answers(address)) return void location.replace(`${placeOf(address)}${location.pathname}${location.search}${location.hash}`);
  }
  looking = false;
  say();
}

$("again").addEventListener("click", () => { $("tried").textContent = "Trying …"; look(); });
window.addEventListener("online", look);
window.addEventListener("offline", say);
if (at) $("since").textContent = `The last word came at ${since()}.`;
say();
setInterval(look, AGAIN_MS);
look();
