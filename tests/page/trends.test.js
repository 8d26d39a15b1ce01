// What the cluster page says of numbers.

import assert from "node:assert/strict";
import { test } from "node:test";

import { bytes, diskWords, grown, inWords, last, loadWords, mergeEvents, nextDay, percent, short } from "./static/trends.js";

const NOW = Date.UTC(2026, 10, 28, 5, 30), DAY = 86_400;
const on = (days) => new Date(NOW + days * DAY * 1000).toLocaleDateString(undefined, { day: "numeric", month: "long" });

test("samples that come later are added, the oldest go, and none comes twice", () => {
  const old = { step: 5, times: [1, 2], columns: { a: [10, 20] } }, more = { step: 5, times: [2, 3], columns: { a: [21, 30] } };
  assert.deepEqual(grown(old, more), { step: 5, times: [1, 2, 3], columns: { a: [10, 20, 30] } });
  assert.deepEqual(grown(old, more, 2), { step: 5, times: [2, 3], columns: { a: [20, 30] } });
  assert.equal(grown(old, { step: 5, times: [], columns: { a: [] } }), old);
  assert.equal(grown(null, more), more);
});

test("numbers have as many digits as tell something", () => {
  assert.deepEqual([0.123, 12.345, 123.4, 2384.2, null, undefined].map(short), ["0.12", "12.3", "123", "2,384", "–", "–"]);
  assert.deepEqual([999, 71_000_000_000, null].map(bytes), ["999 B", "71 GB", "–"]);
  assert.equal(percent(0.118), "11.8 %");
  assert.deepEqual([last([1, null]), last([null])], [1, null]);
});

test("a disk is full on a day, soon in hours, or perhaps never", () => {
  assert.equal(diskWords(null, NOW), "does not fill, as far as can be told yet");
  assert.equal(diskWords([23 * DAY, 31 * DAY], NOW), `is full on ${on(23)} at the earliest, and on ${on(31)} at the latest`);
  assert.equal(diskWords([3 * DAY, null], NOW), `is full on ${on(3)} at the earliest, or perhaps never`);
  assert.equal(diskWords([3 * DAY, 3 * DAY + 60], NOW), `is full on ${on(3)}, if its ops file grows on as it does`);
  assert.equal(diskWords([7200, 10_800], NOW), "is full in 2 hours at the earliest, and in 3 hours at the latest");
  assert.equal(diskWords([0, 0], NOW), "is full now, if its ops file grows on as it does");
  assert.equal(diskWords([4000 * DAY, null], NOW), "does not fill within ten years");
});

test("a load is said with what there may be of it, and how far off that was", () => {
  const peak = { low: 20, middle: 26, high: 33 };
  assert.equal(loadWords({ peak, limit: 2380, error: 0.131 }, "a second", "This broker takes"), "at most 33 a second within the next day, most likely 26. This broker takes 2,380. Forecasts of a day ahead were off by 13 % until now.");
  assert.equal(loadWords({ peak: null, limit: null, error: null }, "streams", "There may be"), "not known before two days were seen.");
});

test("the next day follows the hours that were", () => {
  const [times, came, middle, high, low] = nextDay([5, 6], [{ low: 1, middle: 2, high: 3 }], NOW);
  const hour = Math.floor(NOW / 3_600_000);
  assert.deepEqual(times, [hour - 2, hour - 1, hour].map((one) => one * 3600));
  assert.deepEqual([came, middle, high, low], [[5, 6, null], [null, null, 2], [null, null, 3], [null, null, 1]]);
});

test("who does not see a chart is told of it", () => {
  assert.equal(inWords("Streams", [null, 3, 1], short), "Streams: now 1, least 1, most 3");
  assert.equal(inWords("Streams", [null], short), "Streams: nothing measured yet");
});

test("what happened is one list, the newest first", () => {
  const list = mergeEvents([{ time: 1, text: "up", is_warning: false }, { time: 3, text: "down", is_warning: true }], [{ time: 2, text: "ann signed in", bad: false }]);
  assert.deepEqual(list.map((one) => [one.text, one.bad]), [["down", true], ["ann signed in", false], ["up", false]]);
});
