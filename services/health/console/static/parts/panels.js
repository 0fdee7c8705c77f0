// Charts of measurements: each asks its PromQL expression, shows it, and opens where it can be looked at alone.

import { read } from "../core/api.js";
import { chart } from "../core/chart.js";
import { h } from "../core/dom.js";
import { bytes, duration, number, percent, rate } from "../core/format.js";
import { t } from "../core/i18n.js";
import { now } from "../core/live.js";
import { body, card, fault } from "../core/parts.js";
import { go, path } from "../core/router.js";

export const RANGES = { "15m": 900, "1h": 3600, "6h": 21600, "1d": 86400, "7d": 604800 };
const POINTS = 180;
const MOST_LINES = 12;
const SHOW = { "1/s": rate, s: duration, ratio: (value) => percent(value), bytes, cores: (value) => number(value), rows: (value) => number(value), W: (value) => `${number(value)} W`, "": (value) => number(value) };

export const show = (unit) => SHOW[unit] || SHOW[""];
let panels = null;

/** The panels of a group, from the file that tests read as well. */
export async function panelsOf(group) {
  panels ??= (await fetch("/static/panels.json")).json();
  return (await panels)[group];
}

/** Ask all panels at once: each gets its series, or what was wrong. Optional ones, as of GPUs, are left out where nothing tells of them. */
export async function measure(group, values, range, signal) {
  const asked = (await panelsOf(group)).map(async (panel) => {
    try {
      return { panel, lines: await linesOf(panel, values, range, signal) };
    } catch (error) {
      if (error.name === "AbortError") throw error;
      return { panel, error };
    }
  });
  const measured = await Promise.all(asked);
  return measured.filter(({ panel, lines }) => !panel.optional || lines?.length);
}

async function linesOf(panel, values, range, signal) {
  const expressions = Object.entries(panel.lines || { "": panel.expression });
  const found = await Promise.all(expressions.map(([, each]) => queryRange(fill(each, values, range), range, signal)));
  return expressions.flatMap(([name], i) => found[i].map((series) => ({ ...series, name: labelOf(name, panel.by, series.labels) })));
}

export function queryRange(expression, range, signal) {
  const end_s = Math.floor(now() / 5) * 5;
  const seconds = RANGES[range] || RANGES["1h"];
  const request = {
    expression,
    start: new Date((end_s - seconds) * 1000).toISOString(),
    end: new Date(end_s * 1000).toISOString(),
    step_seconds: stepOf(range),
  };
  return read("MetricsService", "QueryRange", request, signal).then((answer) => answer.series);
}

/** `$model` and the like, and the window of rates: a minute, and where steps are longer, two of them. */
export function fill(expression, values, range) {
  const all = { ...values, window: `${Math.max(60, 2 * stepOf(range))}s` };
  return expression.replace(/\$(\w+)/g, (_, name) => all[name] ?? "");
}

function labelOf(name, by, labels) {
  const found = by.map((label) => (label === "version" && labels[label] ? `v${labels[label]}` : labels[label])).filter(Boolean);
  return [name, ...found].filter(Boolean).join(" ") || t("all_of_it");
}

/** Series as uPlot wants them: one column of all steps of the range, a column of values each, null where there is none. */
export function align(lines, range) {
  const step_s = stepOf(range);
  const known = lines.find((each) => each.times.length);
  // Steps lie where the answers have them; those before and after have no value.
  const last = known ? known.times[0] + Math.floor((now() - known.times[0]) / step_s) * step_s : now();
  const n = Math.round((RANGES[range] || RANGES["1h"]) / step_s) + 1;
  const first = last - (n - 1) * step_s;
  const columns = lines.map((each) => {
    const values = new Array(n).fill(null);
    each.times.forEach((at, i) => {
      const place = Math.round((at - first) / step_s);
      if (place >= 0 && place < n) values[place] = finite(each.values[i]);
    });
    return values;
  });
  return [Array.from({ length: n }, (_, i) => first + i * step_s), ...columns];
}

const stepOf = (range) => Math.max(5, Math.round((RANGES[range] || RANGES["1h"]) / POINTS));

const finite = (value) => (Number.isFinite(Number(value)) ? Number(value) : null);

/** A panel as a card. `marks`: times of changes, drawn as dashed lines. */
export function panelCard({ panel, lines, error }, { values = {}, range, marks = [], model = null, exemplars = [] }) {
  const expressions = Object.values(panel.lines || { "": panel.expression }).map((each) => fill(each, values, range));
  const title = t(`panel.${panel.name}`);
  const pick = model && ((at) => go(`/traces?${new URLSearchParams({ tags: JSON.stringify({ "lepton.model.name": model }), start: Math.round((at - 60) * 1e6), end: Math.round((at + 60) * 1e6) })}`));
  return card(title, { key: `panel ${panel.name}` },
    body(error ? fault(error) : drawing(panel, lines, range, marks, pick)),
    h("footer", null,
      h("details", null, h("summary", null, t("panel.made_of")), expressions.map((each) => h("p", null, h("a", { href: explore(each, range), class: "mono" }, each)))),
      exemplars.length > 0 && h("span", null, t("panel.slow"), " ", exemplars.slice(0, 3).map((each) => [h("a", { href: path("traces", each.trace_id) }, duration(each.value)), " "])),
      pick && lines?.length > 0 && h("span", null, t("panel.pick"))));
}

export const explore = (expression, range = "1h") => `/metrics?${new URLSearchParams({ q: expression, range })}`;

function drawing(panel, lines, range, marks, pick) {
  const busy = lines.filter((each) => weight(each) > 0);
  const most = [...(busy.length ? busy : lines)].sort((one, other) => weight(other) - weight(one)).slice(0, MOST_LINES).sort((one, other) => one.name.localeCompare(other.name));
  if (!most.some((each) => each.times.length > 1)) return h("p", { class: "soft" }, t("panel.none"));
  return [
    chart(`${panel.name} ${range} ${most.map((each) => each.name).join()}`, { data: align(most, range), series: most.map((each) => ({ label: each.name })), show: show(panel.unit), unit: panel.unit, onpick: pick, marks }),
    busy.length > most.length && h("p", { class: "small faint" }, t("panel.others", { n: busy.length - most.length })),
  ];
}

const weight = (line) => Math.max(...line.values.map((value) => finite(value) ?? 0), 0);

/** Which time is looked at. */
export const ranges = (chosen, ask) =>
  h("div", { class: "segments", role: "group", "aria-label": t("range") }, Object.keys(RANGES).map((each) =>
    h("button", { type: "button", "aria-pressed": String(each === chosen), onclick: () => ask({ range: each }) }, each)));

