// What the cluster page says of numbers: series that grow, sizes, rates and forecasts in words. Pure.

const KEEP = 720; // samples of the last hour, as many as the broker keeps

/** Samples with those that came later: times and columns, as the charts want them. */
export function grown(series, more, keep = KEEP) {
  if (!series || !series.times.length) return more;
  const after = series.times.at(-1), from = more.times.findIndex((time) => time > after);
  if (from < 0) return series;
  const joined = (old, fresh) => [...old, ...fresh.slice(from)].slice(-keep);
  const columns = Object.fromEntries(Object.entries(series.columns).map(([name, column]) => [name, joined(column, more.columns[name])]));
  return { step: series.step, times: joined(series.times, more.times), columns };
}

/** A number with as many digits as tell something. */
export function short(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return Number(value.toFixed(digits)).toLocaleString("en");
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (Math.abs(value) >= 1000 && at < units.length - 1) { value /= 1000; at++; }
  return `${short(value)} ${units[at]}`;
}

export const percent = (share) => (share === null || share === undefined ? "–" : `${short(share * 100)} %`);

/** The last value of a column that is known. */
export function last(column) {
  for (let at = column.length - 1; at >= 0; at--) if (column[at] !== null) return column[at];
  return null;
}

/** What somebody who does not see a chart is told of it. */
export function inWords(title, column, format) {
  const known = column.filter((value) => value !== null);
  if (!known.length) return `${title}: nothing measured yet`;
  return `${title}: now ${format(known.at(-1))}, least ${format(Math.min(...known))}, most ${format(Math.max(...known))}`;
}

const DAY = 86_400;

/** The day in so many seconds; in hours where it is near. */
export function when(seconds, now) {
  if (seconds < 60) return "now";
  if (seconds < 2 * 3600) return `in ${Math.round(seconds / 60)} minutes`;
  if (seconds < 2 * DAY) return `in ${Math.round(seconds / 3600)} hours`;
  const date = new Date(now + seconds * 1000), far = seconds > 300 * DAY;
  return `on ${date.toLocaleDateString(undefined, { day: "numeric", month: "long", ...(far ? { year: "numeric" } : {}) })}`;
}

/** When a disk is full: `full` are seconds, at the earliest and at the latest. */
export function diskWords(full, now) {
  if (!full) return "does not fill, as far as can be told yet";
  const [earliest, latest] = full;
  if (earliest > 3650 * DAY) return "does not fill within ten years";
  const first = when(earliest, now), then = latest === null ? "" : when(latest, now);
  if (first === then) return `is full ${first}, if its ops file grows on as it does`;
  return `is full ${first} at the earliest${latest === null ? ", or perhaps never" : `, and ${then} at the latest`}`;
}

/** What is expected of a load, in a sentence; `unit` is of its peak. */
export function loadWords(forecast, unit, seen) {
  const { peak, limit, error } = forecast;
  const most = limit === null ? "" : ` ${seen} ${short(limit)}.`;
  if (!peak) return `not known before two days were seen.${most}`;
  const off = error === null ? "" : ` Forecasts of a day ahead were off by ${Math.round(error * 100)} % until now.`;
  return `at most ${short(peak.high)} ${unit} within the next day, most likely ${short(peak.middle)}.${most}${off}`;
}

/** The hours that were and those that come, as the chart wants them: hours since 1970, what came, and the band. */
export function nextDay(hours, ahead, now) {
  const past = hours.slice(-48), hour = Math.floor(now / 3_600_000);
  const times = [...past.map((_, at) => hour - past.length + at), ...ahead.map((_, at) => hour + at)].map((one) => one * 3600);
  const none = (list) => list.map(() => null);
  const part = (name) => [...none(past), ...ahead.map((band) => band[name])];
  return [times, [...past, ...none(ahead)], part("middle"), part("high"), part("low")];
}

/** Events of brokers and rows of the audit trail in one list, the newest first. */
export function mergeEvents(events, trail) {
  const rows = [...events.map((one) => ({ time: one.time, text: one.text, bad: one.is_warning })), ...trail];
  return rows.sort((one, other) => other.time - one.time);
}
