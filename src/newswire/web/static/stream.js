// The stream of one user, kept open somewhere, by the tab that leads.
//
// Pages of one host share six connections (HTTP/1.1), and a stream keeps one. Pages of other users in this browser have
// streams of their own, so there are four places for streams; where more are wanted, they take turns.

import { askHome, at, brokers, credentials, findWelcomingBroker, home, isHomeAgain, isOpenTo, page, saySignedOut, url, user } from "./brokers.js";
import { clock } from "./dom.js";
import { EventReader } from "./sse.js";
import { isForbidden } from "./status.js";
import { hurry, pause } from "./waiting.js";

const CONNECT_MS = 5_000;        // to the first byte of a stream
const SILENT_MS = 15_000;        // three keepalives are missing: the connection is dead
const GRACE_MS = 1_500;          // a move to another broker takes less: no alarm for it
const HOME_MS = 5_000;           // how often a page that moved looks whether its own broker is back,
const HOME_LATER_MS = 20_000;    // and after two minutes of that
const BACK_OFF_MS = [300, 1_000, 2_000, 5_000];
const PLACES = ["newswire place 1", "newswire place 2", "newswire place 3", "newswire place 4"];
const TURN_MS = 10_000;          // of a page that somebody looks at, where others wait for its place
const TURN_HIDDEN_MS = 2_000;
const ASK_WANTED_MS = 1_000;
const TURNS_MS = 60_000;         // after the last turn it says so for as long
const TURNS = "This browser makes six connections to a broker at most, and pages of other names are open in it, too: they get their news in turn, every few seconds.";
const CROWDED = "This browser makes six connections to a broker at most, and other pages have them. Close some, and news comes in here.";
const TRIES = 2;                 // rounds over all brokers, before another tab may try

/**
 * `on` has
 *   items(items)     what came; place(): the event id to go on from;
 *   changed(state)   how the connection stands: { kind, text, detail, reason, serving }; alive(): it does, still;
 *   opened(); keptUp()   a stream is open; it has told all that was due;
 *   registered(), untilRegistered(signal), refused()   whether the user has a subscription;
 *   told(why)        a broker said why there is no stream now;
 *   giveWay()        no broker answers here; leave(address): the page must go on at that broker;
 *   visible().
 */
export class Stream {
  #on; #locks;
  #due = new Map();              // broker -> when it may be tried again
  #failures = new Map();         // broker -> tries in a row that opened no stream
  #connection = new AbortController();
  #lostSince = new Date();       // null while a stream is open
  #lastByte = Date.now();
  #reason = "";                  // what a broker said instead of opening a stream
  #place = null;                 // the lock of one of PLACES, and since when
  #asked = 0;                    // when it last asked whether somebody waits for its place
  #turnEnded = -Infinity;        // when this page last waited for a place
  #seat = "";                    // a broker with more room, where this page was sent
  #leaving = false;
  #notAllowed = false;           // this page's own broker answers, and takes it for another site's
  #strangerAt = "";              // another broker that answers, and does not know who asks

  constructor(on, locks) { this.#on = on; this.#locks = locks; }

  state = { kind: "", text: "connecting", detail: "", reason: "", serving: "" };   // of the tab that leads

  /** Keep a stream open until `signal` is aborted. */
  async run(signal) {
    signal.addEventListener("abort", () => this.#connection.abort());
    this.#lostSince = new Date(this.state.lostSince ?? Date.now());   // perhaps since another tab led
    this.sayLost(this.#lostSince);
    this.#comeHome(signal);
    if (page.seat) await this.#follow(page.seat);
    while (!signal.aborted) {
      if (this.#on.registered() === false) { await this.#on.untilRegistered(signal); continue; }
      const address = await this.#nextBroker(signal);
      if (signal.aborted || !(await this.#takePlace(signal))) break;
      this.#connection = new AbortController();
      const end = await this.#read(address, AbortSignal.any([signal, this.#connection.signal]));
      at.serving = "";
      if (end.yielded) continue;
      this.#leavePlace();
      if (end.refused) this.#on.refused();
      else if (!signal.aborted && !this.#connection.signal.aborted) await this.#ended(address, end);
    }
    at.serving = "";
    this.#leavePlace();
  }

  async #ended(address, end) {
    if (end.opened && !end.silent) this.#failures.delete(address);
    else this.#failures.set(address, (this.#failures.get(address) ?? 0) + 1);
    const failures = this.#failures.get(address) ?? 0;
    const backOff = BACK_OFF_MS[Math.min(failures, BACK_OFF_MS.length - 1)] * (0.75 + Math.random() / 2);
    this.#due.set(address, Date.now() + Math.max(backOff, end.retry ?? 0));
    if (brokers.includes(end.to)) at.preferred = end.to;
    else if (address === this.#seat && !end.opened) at.preferred = home;
    if (address === home) this.#notAllowed = end.notThisPage;
    if (address === home) at.signedOut = end.signedOut;
    if (address === this.#strangerAt) this.#strangerAt = "";
    if (end.signedOut && address !== home) await askHome();
    if (end.signedOut) return this.#saySignedOut(at.signedOut ? home : address);
    if (this.#notAllowed) return this.#sayNotAllowed(end);    // and other brokers know even less of this page
    if (!end.opened || end.to) this.moveOn(end.to);
    if (!this.#strangerAt) this.sayLost(end.silent && end.opened ? new Date(this.#lastByte) : new Date(), end);
    if (end.why) await this.#on.told(end.why);
    if (at.signedOut) return this.#saySignedOut(home);
    if (brokers.every((other) => (this.#failures.get(other) ?? 0) >= TRIES)) await this.#on.giveWay();
  }

  /** The broker to try now: the preferred one, or the first other that is not to be left alone for a while. */
  async #nextBroker(signal) {
    for (;;) {
      // where the page's own broker says that nobody is signed in, that is so until it says otherwise, or is gone
      const order = at.signedOut ? [home] : [at.preferred, ...brokers.filter((other) => other !== at.preferred)];
      const ready = order.find((address) => (this.#due.get(address) ?? 0) <= Date.now());
      if (ready || signal.aborted) return ready;
      await pause(Math.min(...order.map((address) => this.#due.get(address))) - Date.now(), signal);
    }
  }

  /** One connection to one broker, and how it ended. Never throws. */
  async #read(address, signal) {
    const end = { opened: false, silent: false, refused: false, notThisPage: false, signedOut: false, yielded: false, to: "", retry: null, why: "", address };
    const fields = { username: user, format: "json", ack: "client", follow: "1" };
    if (this.#on.place()) fields.last_event_id = this.#on.place();
    const silence = new AbortController();
    const watch = (ms) => setTimeout(() => { end.silent = true; silence.abort(); }, ms);
    let watchdog = watch(CONNECT_MS);
    try {
      const until = AbortSignal.any([signal, silence.signal]);
      const answer = await fetch(url(address, "/stream", fields), { headers: { Accept: "text/event-stream" }, cache: "no-store", credentials, signal: until });
      if (!answer.ok) {
        const said = await answer.json().catch(() => ({}));
        end.refused = said.code === "not-registered";
        end.notThisPage = isForbidden(said);
        end.signedOut = answer.status === 401;
        end.why = end.signedOut ? "" : said.detail ?? "";
        return end;
      }
      const reader = new EventReader(), incoming = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await incoming.read();
        if (done || signal.aborted) return end;
        clearTimeout(watchdog);
        watchdog = watch(SILENT_MS);
        this.#lastByte = Date.now();
        const events = reader.feed(value);
        end.retry = reader.retry;
        this.#receive(events, end);
        if (await this.#turnIsOver(events.some(isKeepalive))) {
          end.yielded = true;
          silence.abort();
          return end;
        }
      }
    } catch {
      return end;                                             // a connection that breaks is an ordinary thing here
    } finally {
      clearTimeout(watchdog);
    }
  }

  #receive(events, end) {
    const items = [];
    for (const event of events) {
      if (isKeepalive(event)) this.#on.keptUp();
      else if (event.comment !== undefined) end.why = event.comment;
      else {
        const said = JSON.parse(event.data);
        if (event.name === "open") { items.push({ open: true }); this.#opened(said.broker, end); }
        else if (event.name === "moved" && said.reason === "load") this.#follow(said.to);
        else if (event.name === "moved") end.to = said.to;
        else if (event.name === "gap") items.push({ gap: said, eventId: event.id, at: Date.now() });
        else if (event.name === "withdrawn") items.push({ withdrawn: said, eventId: event.id });
        else if (event.name === "message") items.push({ message: said, eventId: event.id });
      }
    }
    if (items.length) this.#on.items(items);
    this.#on.alive();
  }

  #opened(broker, end) {
    end.opened = true;
    this.#notAllowed = false;
    this.#strangerAt = "";
    at.signedOut = false;
    at.serving = end.address;
    this.#failures.delete(end.address);
    this.#lostSince = null;
    this.#reason = "";
    if (this.#locks.shared && Date.now() - this.#turnEnded < TURNS_MS) this.#say("moved", `in turns at broker ${broker}`, "", TURNS);
    else if (end.address === home || end.address === this.#seat) this.#say("live", `live at broker ${broker}`);
    else this.#say("moved", `moved to broker ${broker}`, `${home} does not answer; this page goes back by itself`);
    this.#on.opened();
  }

  // -- places: not more streams than leave this browser connections for requests --------------------------------------------

  async #takePlace(signal) {
    if (this.#place) return true;
    const soon = setTimeout(() => {
      this.#turnEnded = Date.now();
      if (!this.#locks.shared) this.#say("silent", "too many pages are open", "", CROWDED);
      else if (this.state.reason !== TURNS) this.#say("moved", "waiting for its turn", "", TURNS);
    }, GRACE_MS);
    const hold = await this.#locks.hold(PLACES, { signal });
    clearTimeout(soon);
    if (hold) {
      this.#place = { hold, since: Date.now() };
      hold.lost.then(() => { if (this.#place?.hold === hold) { this.#place = null; this.#connection.abort(); } });
    }
    return hold !== null;
  }

  #leavePlace() {
    this.#place?.hold.release();
    this.#place = null;
  }

  /** Whether another page waits for this place, which has been had for a turn, or for three where news comes all the time. */
  async #turnIsOver(caughtUp) {
    if (!this.#place) return false;
    this.#place.hold.renew?.();
    const turn = (this.#on.visible() ? TURN_MS : TURN_HIDDEN_MS) * (caughtUp ? 1 : 3);
    if (Date.now() - this.#place.since < turn || Date.now() - this.#asked < ASK_WANTED_MS) return false;
    this.#asked = Date.now();
    if (!(await this.#locks.wanted(PLACES)) || !this.#place) return false;
    this.#turnEnded = Date.now();
    this.#leavePlace();
    return true;
  }

  // -- saying how it stands ------------------------------------------------------------------------------------------------

  #say(kind, text, detail = "", reason = this.#reason) {
    this.state = { kind, text, detail, reason, serving: at.serving, lostSince: this.#lostSince?.getTime() };
    this.#on.changed(this.state);
  }

  sayConnected() {
    this.#lostSince = null;
    this.#reason = "";                                        // which was this, in the words of a broker
    this.#say("live", "no topics yet");
  }

  /** The page's own broker takes it for another site's. */
  #sayNotAllowed({ notThisPage, why }) {
    this.#lostSince = null;
    if (notThisPage) this.#reason = why;
    this.#say("silent", "not allowed at this address");
  }

  #saySignedOut(address) {
    this.#lostSince = null;
    this.#reason = "";
    this.#strangerAt = address === home ? "" : address;
    saySignedOut(address);
    this.#say("silent", address === home ? "signed out" : `not signed in at ${address}`);
  }

  sayLost(since, { why = "", silent = false, opened = false, address = home } = {}) {
    this.#lostSince ??= since;
    if (why) this.#reason = why;
    const crowded = silent && !opened && navigator.onLine !== false;
    const shown = () => {
      if (!this.#lostSince || Date.now() - this.#lostSince < GRACE_MS) return;
      const detail = crowded ? `${address} took too long to answer. It may hang, or this browser may have used up its six connections to it: then close some of its pages.` : "";
      const word = navigator.onLine === false ? "offline since" : "silent since";
      this.#say("silent", `${word} ${clock(this.#lostSince)}, ${navigator.onLine === false ? "waiting for the network" : "trying again"}`, detail);
    };
    shown();
    setTimeout(shown, GRACE_MS);
  }

  // -- moving ----------------------------------------------------------------------------------------------------------------

  /** When this page's broker has left the cluster, the others take nothing from its pages: go on at a page of one of them. */
  async moveOn(named) {
    if (this.#leaving || this.#notAllowed) return;
    this.#leaving = true;
    try {
      const to = await findWelcomingBroker(named);
      if (to) this.#on.leave(to);
    } finally { this.#leaving = false; }
  }

  /** Go where there is more room, if that broker serves this page as well; else stay, and say so to nobody. */
  async #follow(to) {
    const connection = this.#connection;
    if (to === at.serving || !brokers.includes(to) || this.#failures.has(to) || !(await isOpenTo(to))) return;
    if (connection !== this.#connection) return;              // it broke meanwhile
    at.preferred = this.#seat = to;
    this.#due.delete(to);
    connection.abort();
  }

  /** A page that moved goes home when its own broker is back and has caught up; ever slower when that does not last. */
  async #comeHome(signal) {
    let looks = 0, wait = HOME_MS;
    while (!signal.aborted) {
      await pause(wait, signal);
      if (at.serving === home) { looks = 0; wait = HOME_MS; }
      if (!at.serving || at.serving === home) continue;
      wait = Math.max(wait, ++looks < 120_000 / HOME_MS ? HOME_MS : HOME_LATER_MS);
      if (signal.aborted || !(await isHomeAgain()) || !at.serving || at.serving === home) continue;
      wait = Math.min(2 * wait, 60_000);
      at.preferred = home;
      this.#due.delete(home);
      this.#connection.abort();
    }
  }

  /** The network or the person is back. */
  tryNow() {
    this.#due.clear();
    hurry();
    if (at.serving && Date.now() - this.#lastByte > SILENT_MS) this.#connection.abort();   // the machine slept
  }

  /** The network is gone: what is open will bring nothing any more. */
  cut() {
    if (at.serving) this.#connection.abort();
    at.serving = "";
    this.sayLost(new Date());
  }
}

const isKeepalive = (event) => event.comment?.trim() === "keepalive";
