// Notifications of the desktop, and a sound that is made here: what alerts.js has decided to tell.

import { element } from "./dom.js";

const MOST = 5;                  // notifications at once; the rest are counted in one
const BODY_CHARS = 200;
const TONES = { usual: [[660, 0]], high: [[880, 0], [660, 0.18], [880, 0.36]] };   // frequency (Hz), when (s)
const TONE_SECONDS = 0.16;
const LOUDNESS = 0.12;

/** Why this page cannot show notifications, in a sentence; "" if it can, or may ask whether it may. */
export function whyNot() {
  if (!window.isSecureContext) return "Browsers show notifications only for pages that come by https, or from this machine itself (localhost). This one came by plain http.";
  if (!("Notification" in window)) return "This browser shows no notifications for pages. Where it lets you install this page as an app, the app may.";
  if (Notification.permission === "denied") return "This browser has been told not to show notifications of this page. Allow them in its settings of this site.";
  return "";
}

export const isAllowed = () => window.isSecureContext && "Notification" in window && Notification.permission === "granted";

/** Asks for permission, which a browser takes only from a click. Resolves to whether it is given. */
export async function askPermission() {
  return whyNot() === "" && await Notification.requestPermission() === "granted";
}

const own = new Map();           // tag -> Notification that this page showed itself
const tagOf = ({ id, original }) => `newswire ${original || id}`;   // what takes the place of a message takes that of its notification

/** Takes back the notifications of messages that were withdrawn: `{ id, original }` each. */
export async function takeBack(messages) {
  if (messages.length === 0 || !isAllowed()) return;
  const tags = new Set(messages.map(tagOf)), registration = await navigator.serviceWorker?.getRegistration();
  const shown = await registration?.getNotifications() ?? [];
  for (const notification of [...shown, ...own.values()]) if (tags.has(notification.tag)) notification.close();
  for (const tag of tags) own.delete(tag);
}

/** Shows `messages`, one notification each; pressing one shows that message in the page of `user`. */
export async function show(messages, user, goTo) {
  if (!isAllowed()) return;
  const registration = await navigator.serviceWorker?.getRegistration();
  const each = messages.slice(-MOST).map(({ id, original, topic, title, data }) => ({ id, tag: tagOf({ id, original }), title: title ? `${topic}: ${title}` : topic, body: (data ?? "").slice(0, BODY_CHARS) }));
  const rest = messages.length - each.length;
  if (rest > 0) each.unshift({ id: messages[0].id, tag: "newswire more", title: `and ${rest} more`, body: [...new Set(messages.slice(0, rest).map(({ topic }) => topic))].join(", ").slice(0, BODY_CHARS) });
  for (const { id, tag, title, body } of each) {
    const options = { body, tag, icon: document.querySelector("link[rel=apple-touch-icon]").href, data: { id, user } };
    if (registration?.active) await registration.showNotification(title, options);   // a phone takes none from a page itself
    else {
      const notification = new Notification(title, options);
      own.set(tag, notification);
      notification.addEventListener("click", () => { window.focus(); goTo(id); });
      notification.addEventListener("close", () => { if (own.get(tag) === notification) own.delete(tag); });
    }
  }
}

let audio = null;

/** Whether the browser lets this tab sound: it does after a click or a key in it. */
export const canPlay = () => audio?.state === "running";

/** Be ready to sound. Called where somebody presses something; elsewhere the browser may refuse, and nothing happens. */
export function prepareSound() {
  if (!("AudioContext" in window)) return;
  audio ??= new AudioContext();
  if (audio.state === "suspended") audio.resume().catch(() => {});
}

/** One soft tone, or three for what is of high priority. */
export function play(isHigh) {
  if (!canPlay()) return;
  for (const [frequency, after] of TONES[isHigh ? "high" : "usual"]) {
    const start = audio.currentTime + after, tone = audio.createOscillator(), loudness = audio.createGain();
    tone.frequency.value = frequency;
    loudness.gain.setValueAtTime(0, start);
    loudness.gain.linearRampToValueAtTime(LOUDNESS, start + 0.02);
    loudness.gain.exponentialRampToValueAtTime(0.001, start + TONE_SECONDS);
    tone.connect(loudness).connect(audio.destination);
    tone.start(start);
    tone.stop(start + TONE_SECONDS);
  }
}

const SHAPE = document.querySelector("link[rel=icon]").href;
const SIGN = `<rect x="2" y="1" width="4" height="14" rx="1" fill="#0b5bd3"/><rect x="8" y="3" width="6" height="2" fill="#7a7d85"/>`;

/** The icon of the tab with a count of what is unread; 0: the plain one. */
export function showCountInIcon(count) {
  const icon = document.querySelector("link[rel=icon]"), text = count > 99 ? "99+" : `${count}`, size = [0, 11, 9.5, 7][text.length];
  const badge = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">${SIGN}<rect x="${text.length > 1 ? 1 : 4}" y="5" width="${text.length > 1 ? 15 : 12}" height="11" rx="3" fill="#b3261e"/><text x="${text.length > 1 ? 8.5 : 10}" y="${10.6 + size * 0.36}" font-family="sans-serif" font-weight="700" font-size="${size}" text-anchor="middle" fill="#fff">${text}</text></svg>`;
  const href = count ? `data:image/svg+xml,${encodeURIComponent(badge)}` : SHAPE;
  if (icon.href === href) return;
  const other = element("link");           // a browser looks at a new element, and not always at a new address of an old one
  Object.assign(other, { rel: "icon", type: "image/svg+xml", href });
  icon.replaceWith(other);
}
