import assert from "node:assert/strict";
import { test } from "node:test";
import { firstPieces, isAddress, linkPieces } from "./static/links.js";

const links = (text) => linkPieces(text).filter((piece) => piece.href).map((piece) => piece.href);

const CASES = {
  "see https://example.org": ["https://example.org"],
  "see https://example.org.": ["https://example.org"],
  "https://example.org/a, https://example.org/b; and HTTP://EXAMPLE.ORG/c!": ["https://example.org/a", "https://example.org/b", "HTTP://EXAMPLE.ORG/c"],
  "is it https://example.org/?": ["https://example.org/"],
  "https://example.org/?q=1&r=a,b": ["https://example.org/?q=1&r=a,b"],
  "(https://example.org/a)": ["https://example.org/a"],
  "(see https://en.wikipedia.org/wiki/Foo_(bar)).": ["https://en.wikipedia.org/wiki/Foo_(bar)"],
  "https://en.wikipedia.org/wiki/Foo_(bar)": ["https://en.wikipedia.org/wiki/Foo_(bar)"],
  "[https://example.org/a] and http://[::1]:5053/x]": ["https://example.org/a", "http://[::1]:5053/x"],
  "<https://example.org/a>": ["https://example.org/a"],
  '"https://example.org/a" \'https://example.org/b\' „https://example.org/c“': ["https://example.org/a", "https://example.org/b", "https://example.org/c"],
  "**https://example.org/a** _https://example.org/b_": ["https://example.org/a", "https://example.org/b"],
  "https://example.org/a…": ["https://example.org/a"],
  "https://example.org/a...": ["https://example.org/a"],
  "请看https://example.org/a。谢谢": ["https://example.org/a"],
  "https://de.wikipedia.org/wiki/Köln": ["https://de.wikipedia.org/wiki/Köln"],
  "http://localhost:5053/stream?username=a&raw=1#top": ["http://localhost:5053/stream?username=a&raw=1#top"],
  "https://example.org/a\nhttps://example.org/b": ["https://example.org/a", "https://example.org/b"],
  "https://example.org/\u202egnp.exe": ["https://example.org/"],
  "javascript:alert(1) data:text/html,x ftp://example.org www.example.org mailto:a@example.org": [],
  "https:// http:///x https://? https://#": [],
  "https://bank.example@evil.example/ https://a:b@evil.example/": [],
  "xhttps://example.org shttp://example.org": [],
  "https://example.org/<script>alert(1)</script>": ["https://example.org/"],
  'https://example.org/"onmouseover="alert(1)': ["https://example.org/"],
  "": [],
};

for (const [text, expected] of Object.entries(CASES)) {
  test(`addresses of ${JSON.stringify(text)}`, () => {
    assert.deepEqual(links(text), expected);
    assert.equal(linkPieces(text).map((piece) => piece.text).join(""), text, "joined, the pieces are the text");
  });
}

test("an address is not cut where the text is", () => {
  const text = `${"x".repeat(90)} https://example.org/${"y".repeat(50)} end`;
  assert.deepEqual(firstPieces(text, 100), [{ text: `${"x".repeat(90)} ` }]);
  assert.equal(firstPieces(text, 500).map((piece) => piece.text).join(""), text);
  assert.equal(firstPieces("😀".repeat(60), 101)[0].text, "😀".repeat(50), "nor is a pair of surrogates");
});

test("a long text costs no more than its length", () => {
  const brackets = `https://example.org/${"(".repeat(1_000)}${")".repeat(1_000)}${"]".repeat(20)}`;
  for (const text of ["https://".repeat(8_000), "h".repeat(65_536), `https://example.org/${"))))....".repeat(8_000)}`, `${brackets} `.repeat(30)]) {
    assert.equal(linkPieces(text).map((piece) => piece.text).join(""), text);
  }
});

test("what may be a link", () => {
  assert.ok(isAddress("https://example.org/incident"));
  for (const bad of ["javascript:alert(1)", "//example.org", "https:", "https://", "https://a@b/", `https://example.org/${"x".repeat(3_000)}`, "", " https://example.org"]) {
    assert.ok(!isAddress(bad), bad);
  }
});
