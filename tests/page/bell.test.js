import assert from "node:assert/strict";
import { test } from "node:test";

/** What a browser has of notifications: those of the page itself, and those that its service worker shows. */
class Notification extends EventTarget {
  static permission = "granted"; static all = [];
  isClosed = false;
  constructor(title, { tag }) { super(); this.title = title; this.tag = tag; Notification.all.push(this); }
  close() { this.isClosed = true; this.dispatchEvent(new Event("close")); }
}
const worker = { active: true, showNotification: async (title, options) => { new Notification(title, options); }, getNotifications: async () => Notification.all.filter(({ isClosed }) => !isClosed) };
let registration;
Object.assign(globalThis, { document: { querySelector: () => ({ href: "" }) }, window: { isSecureContext: true, Notification }, Notification });
Object.defineProperty(globalThis, "navigator", { value: { serviceWorker: { getRegistration: async () => registration } }, configurable: true });
const { show, takeBack } = await import("./static/bell.js");

const standing = () => Notification.all.filter(({ isClosed }) => !isClosed).map(({ title }) => title);
const MESSAGES = [{ id: "a", topic: "news", title: "Soup" }, { id: "b", topic: "news", title: "Cake" }];

for (const shownBy of ["the page", "its service worker"]) {
  test(`a notification of a message that is withdrawn is taken back, shown by ${shownBy}`, async () => {
    Notification.all = [];
    registration = shownBy === "the page" ? undefined : worker;
    await show(MESSAGES, "ann", () => {});
    await takeBack([]);
    assert.deepEqual(standing(), ["news: Soup", "news: Cake"]);
    await takeBack([{ id: "a" }]);
    assert.deepEqual(standing(), ["news: Cake"]);
  });

  test(`what takes the place of a message has its tag, and is taken back by either id, shown by ${shownBy}`, async () => {
    Notification.all = [];
    registration = shownBy === "the page" ? undefined : worker;
    await show([{ id: "c", original: "b", topic: "news", title: "More cake" }], "ann", () => {});
    assert.equal(Notification.all[0].tag, "newswire b");
    await takeBack([{ id: "c", original: "b" }]);
    assert.deepEqual(standing(), []);
  });
}
