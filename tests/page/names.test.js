import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { matches, patternFault, topicFault, usernameFault } from "./static/names.js";

test("what belongs to a pattern", () => {
  for (const [pattern, topic] of [["", "a"], ["a", "a"], ["a.*", "a.b"], ["*.b", "a.b"], [">", "a"], ["a.>", "a.b.c"], ["a.>", "a.b"], ["team.*", "team.*"]]) {
    assert.ok(matches(pattern, topic), `${pattern} ${topic}`);
  }
  for (const [pattern, topic] of [["a", "b"], ["a.*", "a"], ["a.*", "a.b.c"], ["a.>", "a"], ["a.>", "b.c"], ["*", "a.b"]]) {
    assert.ok(!matches(pattern, topic), `${pattern} ${topic}`);
  }
});

test("good names have no fault", () => {
  for (const name of ["a", "finance.closing", "A-b_c.9", "x".repeat(128)]) assert.equal(topicFault(name), null, name);
  for (const name of ["a", "a.*", "*", ">", "a.>", "*.b"]) assert.equal(patternFault(name), null, name);
  for (const name of ["Alice", "a.b@c-d_e", "x".repeat(64)]) assert.equal(usernameFault(name), null, name);
});

const INSTEAD = JSON.parse(readFileSync(new URL("names.json", import.meta.url)));   // what a broker offers, too
const FAULT = { topic: topicFault, pattern: patternFault, username: usernameFault };

for (const [kind, names] of Object.entries(INSTEAD)) {
  for (const [name, instead] of Object.entries(names)) {
    test(`instead of the ${kind} ${JSON.stringify(name)}`, () => {
      assert.equal(FAULT[kind](name).instead, instead);
      assert.equal(FAULT[kind](instead || "x"), null, "what is offered is allowed");
    });
  }
}

test("what is wrong is named", () => {
  assert.match(topicFault("my topic").why, /letters a to z and A to Z \(no accents\).* This one has spaces\.$/);
  assert.match(topicFault("Jörg Müller news").why, /This one has ö, spaces and ü\.$|This one has spaces, ö and ü\.$/);
  assert.match(topicFault("news.*").why, /are for subscriptions only/);
  assert.match(topicFault("x".repeat(129)).why, /129 characters, 128 are the most/);
  assert.match(topicFault("a\u200bb").why, /a sign that cannot be seen/);
  assert.match(topicFault("").why, /missing/);
  assert.match(topicFault("äöüéèñçß").why, /and other signs\.$/);
  assert.match(patternFault("a.>.b").why, /stands for one whole level/);
  assert.match(usernameFault("Jörg Müller").why, /spaces/);
  assert.equal(usernameFault("ann@example.org"), null);
});
