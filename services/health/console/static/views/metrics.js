// Measurements: the platform's charts, or any expression in PromQL, and who is measured.

import { read } from "../core/api.js";
import { chart } from "../core/chart.js";
import { h } from "../core/dom.js";
import { count, duration, number } from "../core/format.js";
import { t } from "../core/i18n.js";
import { body, card, empty, fault, paged, status, table, time } from "../core/parts.js";
import { say } from "../core/sentences.js";
import { align, measure, panelCard, queryRange, ranges } from "../parts/panels.js";

const MOST_LINES = 12;

export default {
  place: "metrics",
  path: "/metrics",
  title: () => t("place.metrics"),
  every_s: 10,
  async load(params, query, signal) {
    const range = query.range || "1h";
    if (query.q) return { series: await queryRange(query.q, range, signal) };
    const [panels, targets] = await Promise.all([measure("platform", {}, range, signal), read("MetricsService", "ListTargets", {}, signal)]);
    return { panels, targets: targets.targets };
  },
  render({ data, error, memory, query, ask }) {
    const range = query.range || "1h";
    return [
      h("header", { class: "title" }, h("h1", null, t("place.metrics")), h("p", { class: "lead" }, t("metrics.lead")), h("div", { class: "right" }, ranges(range, ask))),
      expression(query, ask),
      error && fault(error),
      data?.series && result(data.series, query, range),
      data?.panels && h("div", { class: "sections" }, data.panels.map((each) => panelCard(each, { range }))),
      data?.targets && targets(data.targets, memory),
    ];
  },
};

function expression(query, ask) {
  const send = (event) => {
    event.preventDefault();
    ask({ q: new FormData(event.currentTarget).get("q").trim() });
  };
  return h("form", { class: "ask", onsubmit: send, "data-key": `ask ${query.q || ""}` },
    h("input", { name: "q", class: "mono", value: query.q || "", "data-search": true, "aria-label": "PromQL", placeholder: "sum by (model) (rate(lepton_requests_total[1m]))", spellcheck: "false", autocomplete: "off" }),
    h("button", { class: "primary", type: "submit" }, t("metrics.ask")),
    query.q && h("button", { type: "button", onclick: () => ask({ q: "" }) }, t("metrics.back")));
}

function result(series, query, range) {
  const lines = series.map((each) => ({ ...each, name: words(each.labels) }));
  if (!lines.length) return card(t("metrics.result"), {}, empty(t("panel.none"), t("metrics.none_text")));
  const shown = lines.slice(0, MOST_LINES);
  return card(t("metrics.result"), { key: "result", about: t("metrics.series", { n: count(lines.length) }) },
    body(chart(`explore ${query.q} ${range} ${shown.length}`, { data: align(shown, range), series: shown.map((each) => ({ label: each.name })), show: (value) => number(value, 4) })),
    lines.length > shown.length && h("p", { class: "body small faint" }, t("panel.others", { n: lines.length - shown.length })));
}

function words(labels) {
  const { __name__: name = "", ...others } = labels;
  const found = Object.entries(others).map(([label, value]) => `${label}="${value}"`).join(", ");
  return found ? `${name}{${found}}` : name || t("all_of_it");
}

function targets(found, memory) {
  const rows = [...found].sort((one, other) => one.up - other.up || one.service.localeCompare(other.service));
  return card(t("metrics.targets"), { key: "targets", about: count(rows.length) }, paged(rows, 20, memory("targets"), (shown) => table([
    { head: t("service"), cell: (row) => row.service },
    { head: t("address"), cell: (row) => h("code", null, row.instance || row.address) },
    { head: t("condition"), cell: (row) => (row.up ? status("healthy", t("metrics.up")) : status("unhealthy", say(row.error) || t("metrics.down"))) },
    { head: t("metrics.samples"), class: "r", cell: (row) => count(row.samples) },
    { head: t("duration"), class: "r", cell: (row) => duration(row.duration_seconds) },
    { head: t("metrics.last"), class: "r", cell: (row) => time(row.last_scrape) },
  ], shown, { key: (row) => `${row.service} ${row.instance} ${row.address}` })));
}
