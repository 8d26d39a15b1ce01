import assert from "node:assert/strict";
import { test } from "node:test";
import { EventReader } from "./static/sse.js";

test("each of CRLF, CR and LF ends a line, wherever pieces end; an id stays until another comes (HTML standard, 9.2)", () => {
  const stream = "retry: 1500\r\nevent: open\r\ndata: {}\r\n\r\n: keepalive\n\nid: 7\rdata: one\rdata:two\r\r" +
    "data\n\nid\ndata: x\n\nevent: gap\n\nid: a\0b\ndata:  y: z\n\ndata: cut off";
  for (let size = 1; size <= stream.length; size++) {
    const reader = new EventReader(), events = [];
    for (let at = 0; at < stream.length; at += size) events.push(...reader.feed(stream.slice(at, at + size)));
    assert.deepEqual([reader.retry, ...events.map((e) => e.comment ?? [e.name, e.id, e.data])], [
      1500, ["open", "", "{}"], "keepalive", ["message", "7", "one\ntwo"], ["message", "7", ""], ["message", "", "x"], ["message", "", " y: z"],
    ], `in pieces of ${size}`);
  }
});
