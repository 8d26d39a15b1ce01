// Asking brokers: the one that serves the stream first, the others when it does not answer.

const ASK_MS = 3_000;            // one question, while another broker can be asked
const ASK_LAST_MS = 8_000;       // and where there is none left
const ASK_QUIETLY_MS = 1_000;    // where the page is served already, or soon is by its own broker

export const page = JSON.parse(document.getElementById("page").textContent);
export const user = page.username;
// An address is HOST:PORT, or https://HOST as an origin is written. What came in TLS goes nowhere else: no browser lets it.
const isSecure = location.protocol === "https:";
export const home = isSecure ? location.origin : location.host;
export const brokers = [home, ...page.brokers.filter((address) => address !== page.address && address !== home && mayAsk(address))];

/** Where the stream is open ("" for nowhere), in this tab or in the one that reads it for all; and which is tried first. */
export const at = { serving: "", preferred: home, signedOut: false };   // signedOut: this page's own broker answers, and knows nobody

/** Where people sign in, what a page asks other brokers has to have its cookie, too. */
export const credentials = page.auth === "required" ? "include" : "same-origin";

export const url = (address, path, fields = {}) =>
  `${address.includes("://") ? address : `http://${address}`}${path}?${new URLSearchParams(fields)}`;

function mayAsk(address) { return !isSecure || address.startsWith("https://"); }

/** The broker at `address` does not know who asks: whoever shows that hears of it. Where this page's own does not, that is why. */
export function saySignedOut(address) {
  at.signedOut ||= address === home;
  document.dispatchEvent(new CustomEvent("signedout", { detail: at.signedOut ? home : address }));
}

/**
 * Ask one broker. Throws an Error with a sentence for people and the broker's `code` and `status`;
 * `final` if no other broker would answer otherwise, `late` if none came in time.
 */
async function ask(address, path, fields, method = "GET", ms = ASK_MS) {
  const post = method === "POST";
  const options = { method, credentials, body: post ? new URLSearchParams(fields) : undefined, signal: AbortSignal.timeout(ms) };
  const answer = await fetch(url(address, path, post ? {} : fields), options);
  const said = await answer.json();
  if (answer.ok) return said;
  const isSignedOut = answer.status === 401;
  if (isSignedOut) saySignedOut(address);
  throw Object.assign(new Error(isSignedOut ? "You are signed out." : said.detail ?? `status ${answer.status}`), {
    final: answer.status < 500 && answer.status !== 429, code: said.code ?? "", status: answer.status,
  });
}

/** Ask the broker that serves the stream, then the others. */
export async function askAny(path, fields, method) {
  const first = at.serving || at.preferred;
  const order = [first, ...brokers.filter((other) => other !== first)];
  let last = null, late = false;
  for (const address of order) {
    try {
      return await ask(address, path, fields, method, address === order.at(-1) ? ASK_LAST_MS : ASK_MS);
    } catch (error) {
      if (error.final) throw error;
      late ||= error.name === "TimeoutError";
      if (error.code || !last?.code) last = error;
    }
  }
  throw last.code ? last : Object.assign(new Error(unreachable(late)), { unreachable: true, late });
}

function unreachable(late) {
  if (navigator.onLine === false) return "This device is offline.";
  if (late) return `No broker answers. If other pages of ${location.host} are open in this browser, close some: it makes six connections at most.`;
  return "No broker can be reached.";
}

/** Have this page's own broker say whether anybody is signed in: `at.signedOut`. */
export async function askHome() {
  try {
    await ask(home, "/me", {});
    at.signedOut = false;
  } catch (error) {
    at.signedOut = error.status === 401;
  }
}

/** Whether a page that moved goes home: its broker is up, and streams are so few that all go to one. */
export async function isHomeAgain() {
  try {
    const rows = await ask(home, "/list_replicas", {});
    return rows.some((row) => row.self && row.state === "up") && rows.reduce((sum, row) => sum + (row.streams ?? 0), 0) < page.few;
  } catch { return false; }
}

/** Whether the broker at `address` would serve this page; nobody hears of it if not. */
export async function isOpenTo(address) {
  try {
    const options = { credentials, signal: AbortSignal.timeout(ASK_QUIETLY_MS) };
    return (await fetch(url(address, "/list_replicas"), options)).ok;
  } catch { return false; }
}

/** The broker whose own page serves where this one may not any more; "" while this one may. */
export async function findWelcomingBroker(named) {
  if (named && !brokers.includes(named) && named !== page.address && mayAsk(named) && /^(https:\/\/)?[\w.:[\]-]+$/.test(named)) return named;   // joined since
  for (const address of brokers.filter((other) => other !== home)) {
    try {
      await ask(address, "/list_replicas", {});
      return "";
    } catch (error) {
      if (error.name !== "TypeError") continue;               // what a browser says of an origin that is refused,
    }
    try {                                                     // and of a broker that does not answer
      await fetch(url(address, "/livez"), { mode: "no-cors", signal: AbortSignal.timeout(ASK_MS) });
      return address;
    } catch { /* that it was */ }
  }
  return "";
}
