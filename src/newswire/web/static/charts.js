// Charts over uPlot: one line or two over time, a band for what is to come. Colours are those of the page, light and dark.

import { element } from "./dom.js";
import uPlot from "./uplot.js";

const all = new Set();
let probe;

/** A colour of the page as it is now: `light-dark()` is worked out by the browser. */
function colour(name) {
  probe ??= document.body.appendChild(Object.assign(element("span"), { hidden: true }));
  probe.className = `ink-${name}`;
  return getComputedStyle(probe).color;
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const one of all) one.redraw(false, true); });

const faded = (name, share) => colour(name).replace(/^rgb\(/, "rgba(").replace(/\)$/, `, ${share})`);
const sizes = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) target.chart?.setSize({ width: Math.max(80, contentRect.width), height: target.clientHeight });
});

/** A chart in a figure. `lines`: pairs of title and colour; `format` makes text of a value; `say(at)` is told where the cursor is. */
export function chart(place, { lines, format, band = false, say, sync }) {
  const axis = { stroke: () => colour("soft"), grid: { stroke: () => faded("soft", 0.18), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  const series = lines.map(([label, name, dashed]) => ({
    label, stroke: () => colour(name), width: 1.75, points: { show: false }, spanGaps: false, ...(dashed ? { dash: [5, 4] } : {}),
  }));
  const edges = band ? [{ label: "high", stroke: "transparent", points: { show: false } }, { label: "low", stroke: "transparent", points: { show: false } }] : [];
  const options = {
    width: Math.max(80, place.clientWidth), height: place.clientHeight,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 }, ...(sync ? { sync: { key: sync } } : {}) },
    scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.12 : 1] } },
    axes: [
      { ...axis, size: (_, texts) => (texts?.some((text) => text?.includes("\n")) ? 42 : 26), space: 70, values: [
        [86400, "{D} {MMM}", null, null, null, null, null, null, 1],
        [3600, "{HH}:00", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
        [60, "{HH}:{mm}", null, null, null, null, null, null, 1],
        [1, "{HH}:{mm}:{ss}", null, null, null, null, null, null, 1],
      ] },
      { ...axis, size: 62, space: 34, values: (_, ticks) => ticks.map((tick) => format(tick)) },
    ],
    series: [{}, ...series, ...edges],
    bands: band ? [{ series: [series.length + 1, series.length + 2], fill: () => faded("accent", 0.2) }] : [],
    hooks: { setCursor: [(self) => say?.(self.cursor.idx ?? null)] },
  };
  const made = new uPlot(options, [[], ...series.map(() => []), ...edges.map(() => [])], place);
  place.chart = made;
  all.add(made);
  sizes.observe(place);
  return made;
}
