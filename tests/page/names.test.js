import assert from "node:assert/strict";
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

const INSTEAD = {
  "my topic": "my-topic",
  "Jörg Müller news": "Joerg-Mueller-news",
  "  news  ": "news",
  "Straße": "Strasse",
  "ÄRGER": "AERGER",
  "crème brûlée": "creme-brulee",
  "Ärger": "Aerger",
  "Łódź": "Lodz",
  "smørrebrød": "smoerrebroed",
  "team/red": "team.red",
  "team: red": "team.red",
  "a..b": "a.b",
  ".a.": "a",
  "it's": "it-s",
  "R&D (new)": "R-D-new",
  "50 % off!": "50-off",
  "ﬁnance": "finance",
  "u\u0308ber": "ueber",
  "новости": "",
  "新闻": "",
  "!!!": "",
  "": "",
};

for (const [name, instead] of Object.entries(INSTEAD)) {
  test(`instead of ${JSON.stringify(name)}`, () => {
    const fault = topicFault(name);
    assert.equal(fault.instead, instead);
    assert.equal(topicFault(instead || "x"), null, "what is offered is allowed");
  });
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
  assert.equal(patternFault("team *").instead, "team.*");
  assert.equal(patternFault("team*").instead, "team.*");
  assert.equal(patternFault("müll.*").instead, "muell.*");
  assert.equal(usernameFault("Jörg Müller").instead, "Joerg.Mueller");
  assert.match(usernameFault("Jörg Müller").why, /spaces/);
  assert.equal(usernameFault("ann@example.org"), null);
});
