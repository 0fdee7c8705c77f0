// A model's numbers of the last minute: of all its versions together for a line, of each for its page.

import { h } from "../core/dom.js";
import { rate } from "../core/format.js";
import { t } from "../core/i18n.js";
import { card, empty, status, table } from "../core/parts.js";
import { explore, show } from "./panels.js";

const rowsOf = (live, name) => (live.kpis?.rows?.model || []).filter((each) => each.labels.model === name);

/** Codes that say the caller asked for something wrong: for alerts and promises they are no failures, and no reason to worry here. */
const MISTAKES = new Set(["INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "OUT_OF_RANGE", "ALREADY_EXISTS", "PERMISSION_DENIED", "UNAUTHENTICATED"]);
const mistakesOf = (row) => Object.entries(row.kinds.errors || {}).reduce((total, [code, value]) => total + (MISTAKES.has(code) ? value : 0), 0);

/** Rates are added; the share of errors is weighted by them; times are those of the version that answers most. */
export function ofModel(live, name) {
  const rows = rowsOf(live, name).filter((each) => each.numbers.rate !== undefined);
  if (!rows.length) return null;
  const most = rows.reduce((one, other) => (other.numbers.rate > one.numbers.rate ? other : one));
  const sum = rows.reduce((total, each) => total + (each.numbers.rate || 0), 0);
  const failed = rows.reduce((total, each) => total + (each.numbers.rate || 0) * (each.numbers.error_ratio || 0), 0);
  const mistakes = rows.reduce((total, each) => total + mistakesOf(each), 0);
  const trend = most.trend.map((_, i) => rows.reduce((total, each) => (each.trend[i] === null ? total : (total ?? 0) + each.trend[i]), null));
  const { p50, p95, p99 } = most.numbers;
  const ours = Math.max(0, failed - mistakes);
  return { rate: sum, errors: sum ? failed / sum : most.numbers.error_ratio, failures: sum ? ours / sum : most.numbers.error_ratio, p50, p95, p99, trend };
}

/** Every number of every version, with the expression that it comes from. */
export function figuresOf(name, live) {
  const rows = rowsOf(live, name).sort((one, other) => Number(other.labels.version) - Number(one.labels.version));
  const kpis = (live.kpis?.kpis || []).filter((each) => each.scope === "model" && rows.some((row) => each.name in row.numbers));
  if (!rows.length) return card(null, { key: "figures" }, empty(t("figures.none"), t("figures.none_text")));
  const columns = [
    { head: t("version"), cell: (row) => h("b", { class: "num" }, `v${row.labels.version}`) },
    ...kpis.map((kpi) => ({ head: h("a", { href: explore(kpi.expression), title: kpi.help }, kpiTitle(kpi)), class: "r", cell: (row) => figure(kpi, row.numbers[kpi.name]) })),
    { head: t("figures.kinds"), cell: kinds },
  ];
  return card(null, { key: "figures", footer: h("span", null, t("figures.window")) }, table(columns, rows, { key: (row) => row.labels.version, label: t("model.figures") }));
}

function figure(kpi, value) {
  if (value === undefined) return "–";
  if (kpi.name !== "probe") return show(kpi.unit)(value);
  return status(value ? "healthy" : "unhealthy", t(value ? "figures.right" : "figures.wrong"));
}

const kpiTitle = (kpi) => {
  const words = t(`kpi.${kpi.name}`);
  return words === `kpi.${kpi.name}` ? kpi.title : words;
};

const kinds = (row) =>
  h("span", { class: "small wrap" }, Object.entries(row.kinds.errors || {}).filter(([, value]) => value > 0).map(([kind, value]) => `${kind} ${rate(value)}`).join(", ") || "–");

