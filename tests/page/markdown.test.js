// What Markdown becomes, written as tags: elements of known kinds, and text for all else.

import assert from "node:assert/strict";
import { test } from "node:test";

const AS_TEXT = { "&": "&amp;", "<": "&lt;" };

class Node {
  children = []; attributes = {};
  constructor(tag) { this.tag = tag; }
  get nodeName() { return this.tag.toUpperCase(); }
  set textContent(text) { this.children = [text]; }
  get textContent() { return this.children.map((one) => one.textContent ?? one).join(""); }
  append(...children) { this.children.push(...children); }
  replaceChildren(...children) { this.children = children; }
  setAttribute(name, value) { this.attributes[name] = value; }
  querySelector(tag) { return this.children.some((one) => one.tag === tag || one.querySelector?.(tag)); }
  get html() {
    const href = this.attributes.href ? ` ${this.attributes.href}` : "";
    return `<${this.tag}${href}>${written(this.children)}</${this.tag}>`;
  }
}

const written = (nodes) => nodes.map((one) => one.html ?? one.replace(/[&<]/g, (sign) => AS_TEXT[sign])).join("");
globalThis.document = { createElement: (tag) => new Node(tag) };
globalThis.matchMedia = () => ({ matches: false });
const { markdownNodes } = await import("./static/markdown.js");
const shown = (text) => written(markdownNodes(text));

test("the usual marks are elements", () => {
  assert.equal(shown("a **b** *c* ~~d~~ `e<f`\ng"), "<p>a <strong>b</strong> <em>c</em> <s>d</s> <code>e&lt;f</code><br></br>g</p>");
  assert.equal(shown("# One\n\n> two\n\n---"), "<h3>One</h3><blockquote><p>two</p></blockquote><hr></hr>");
  assert.equal(shown("- [x] a\n- b\n  1. c"), "<ul><li>☑ a</li><li>b<ol><li>c</li></ol></li></ul>");
  assert.equal(shown("|a|\n|-|\n|*b*|"), "<div><table><thead><tr><th>a</th></tr></thead><tbody><tr><td><em>b</em></td></tr></tbody></table></div>");
  assert.equal(shown("```\n<i>\n```"), "<pre><code>&lt;i></code></pre>");
  assert.equal(shown("5 &lt; 6 &amp; \\*x\\*"), "<p>5 &lt; 6 &amp; *x*</p>");
});

test("headings begin at the level that is named, and leave none out", () => {
  assert.equal(written(markdownNodes("## a\n#### b\n## c", 4)), "<h4>a</h4><h5>b</h5><h4>c</h4>");
});

test("HTML is text", () => {
  assert.equal(shown("<script>alert(1)</script>"), "<p>&lt;script>alert(1)&lt;/script></p>");
  assert.equal(shown("a <img src=x onerror=alert(1)> b"), "<p>a &lt;img src=x onerror=alert(1)> b</p>");
});

test("links go to http and https only, and pictures are links", () => {
  assert.equal(shown("[a](https://x.org/?b=1&c=2) https://y.org."), "<p><a https://x.org/?b=1&c=2>a</a> <a https://y.org>https://y.org</a>.</p>");
  for (const bad of ["javascript:alert(1)", "data:text/html,x", "https://user@x.org", "//x.org", "mailto:a@b.c"]) {
    assert.equal(shown(`[a](${bad})`), `<p>a (${bad})</p>`);
  }
  assert.equal(shown("![plan](https://x.org/p.png)"), "<p><a https://x.org/p.png>🖼 plan</a></p>");
  assert.equal(shown("[![plan](https://x.org/p.png)](https://y.org)"), "<p><a https://y.org>🖼 plan</a></p>");
});

test("what would take long to read is shown as it is", () => {
  assert.equal(markdownNodes("x".repeat(10_001)), null);
  assert.equal(markdownNodes(">".repeat(200)), null);
  assert.notEqual(markdownNodes("> > > deep"), null);
});
