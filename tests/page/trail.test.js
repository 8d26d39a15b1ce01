// What happened, in words.

import assert from "node:assert/strict";
import { test } from "node:test";
import { trailLine } from "./static/trail.js";

const row = (fields) => trailLine({ id: "1001-a.1", time: "2026-11-27T21:00:00.000Z", ...fields });

test("each kind is a sentence", () => {
  assert.equal(row({ what: "signed-in", who: "ann", detail: "10.0.0.7" }), "ann signed in from 10.0.0.7");
  assert.equal(row({ what: "sign-in-failed", who: "ann" }), "somebody failed to sign in as ann");
  assert.equal(row({ what: "granted", by: "boss", who: "*", verb: "subscribe", topic: "news" }), "boss let everybody read news");
  assert.equal(row({ what: "revoked-grant", by: "boss", who: "ann", verb: "publish", topic: ">" }), "boss took away from ann: publish to >");
  assert.equal(row({ what: "created-token", by: "ann", who: "ann", detail: "backup" }), "ann made a token: backup");
  assert.equal(row({ what: "created-token", by: "boss", who: "ann" }), "boss made a token for ann");
  assert.equal(row({ what: "set-password", by: "ann", who: "ann" }), "ann changed the password");
  assert.equal(row({ what: "added-user", who: "admin" }), "a broker added admin");
  assert.equal(row({ what: "published", by: "ann", topic: "news" }), "ann published to news");
  assert.equal(row({ what: "published", by: "ann", topic: "news", detail: "in place of 1001-a.2" }), "ann published to news in place of 1001-a.2");
  assert.equal(row({ what: "withdrew", by: "ann", topic: "news", detail: "1001-a.2" }), "ann withdrew from news: 1001-a.2");
  assert.equal(row({ what: "asked-for-backup", who: "boss", detail: "10.0.0.7" }), "boss asked for a backup from 10.0.0.7");
  assert.equal(row({ what: "removed-broker", who: "1002" }), "broker 1002 left");
});

test("what a later broker knows is shown as it is", () => {
  assert.equal(row({ what: "painted", by: "ann", who: "bob", detail: "red" }), "ann painted bob red");
  assert.equal(row({ what: "toString" }), "toString");
});
