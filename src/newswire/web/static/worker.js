// The service worker: when no broker answers, a page opens all the same, and says so. SHELL stands before this (web/shell.py).
//
// It keeps the files of that page and nothing else: no news, no answer of a broker, nothing that was asked with credentials.
// While a broker answers it changes nothing: each file and page comes from there. What it keeps is checked against the hash of
// its version, and is asked for under the address of its version only, so it never stands in for a file of another.

const CACHE = `newswire shell ${SHELL.version}`;
const PAGES = ["/", "/stream", "/login", "/account", "/admin", "/cluster"];
const PATIENCE_MS = 15_000;      // a broker that hangs does not answer either
const addresses = new Set(Object.keys(SHELL.files).map((name) => `${SHELL.place}/${name}`));

async function fill() {
  const cache = await caches.open(CACHE);
  await Promise.all(Object.entries(SHELL.files).map(async ([name, integrity]) => {
    const address = `${SHELL.place}/${name}`, answer = await fetch(address, { integrity, credentials: "omit", cache: "no-cache" });
    if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
    await cache.put(address, answer);
  }));
}

async function dropOthers() {
  const others = (await caches.keys()).filter((name) => name.startsWith("newswire shell ") && name !== CACHE);
  await Promise.all(others.map((name) => caches.delete(name)));
  await self.clients.claim();
}

async function open(request) {
  const silence = new AbortController(), timer = setTimeout(() => silence.abort(), PATIENCE_MS);
  try {
    return await fetch(request, { signal: silence.signal });
  } catch {
    const headers = { "Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": SHELL.policy, "Cache-Control": "no-store" };
    return new Response(SHELL.page, { headers });
  } finally {
    clearTimeout(timer);
  }
}

async function fileOf(request) {
  try {
    return await fetch(request);
  } catch (error) {
    const kept = await (await caches.open(CACHE)).match(new URL(request.url).pathname);
    if (kept) return kept;
    throw error;
  }
}

/** The page of `user` at the message `id`: one that is open, or a new one. */
async function goTo({ id, user }) {
  const all = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const there = all.find((client) => new URL(client.url).searchParams.get("username") === user)
    ?? all.find((client) => new URL(client.url).pathname === "/");
  if (!there) return void await self.clients.openWindow(`/stream?${new URLSearchParams({ username: user })}#message-${id}`);
  there.postMessage({ goTo: id, user });
  await there.focus();
}

self.addEventListener("install", (event) => { self.skipWaiting(); event.waitUntil(fill()); });
self.addEventListener("activate", (event) => event.waitUntil(dropOthers()));
self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(goTo(event.notification.data));
});
self.addEventListener("fetch", (event) => {
  const { request } = event, { origin, pathname, searchParams } = new URL(request.url);
  if (request.method !== "GET" || origin !== self.location.origin) return;
  if (request.mode === "navigate" && PAGES.includes(pathname) && !searchParams.has("raw")) event.respondWith(open(request));
  else if (addresses.has(pathname)) event.respondWith(fileOf(request));
});
