// Every model in one line: how it is, what it serves, and its figures.

import { h } from "../core/dom.js";
import { sparkline } from "../core/chart.js";
import { count, duration, percent, rate } from "../core/format.js";
import { t } from "../core/i18n.js";
import { card, chip, command, empty, paged, shape, shares, status, table } from "../core/parts.js";
import { path } from "../core/router.js";
import { ofModel } from "./model_figures.js";
import { explore } from "./panels.js";

const PAGE = 50;

/** What is known of every model from all topics: served ones first by need, then by name. */
export function modelRows(live) {
  const listed = new Map((Array.isArray(live.models) ? live.models : []).map((each) => [each.name, each]));
  const served = new Map((live.status?.models || []).map((each) => [each.name, each]));
  const names = [...new Set([...served.keys(), ...listed.keys()])];
  const order = { unhealthy: 0, degraded: 1, healthy: 2 };
  return names
    .map((name) => ({ name, status: served.get(name), entry: listed.get(name), figures: ofModel(live, name), condition: served.get(name)?.condition || "not_deployed" }))
    .sort((one, other) => (order[one.condition] ?? 3) - (order[other.condition] ?? 3) || one.name.localeCompare(other.name));
}

export function modelTable(live, { memory, ask, query }) {
  const rows = modelRows(live);
  const wanted = (query.q || "").toLowerCase();
  const found = rows.filter((each) => each.name.includes(wanted));
  const search = h("input", {
    type: "search", placeholder: t("models.filter"), "aria-label": t("models.filter"), "data-search": true, "data-key": "model filter",
    value: query.q || "", oninput: (event) => ask({ q: event.target.value }),
  });
  return card(t("models"), { key: "models", about: count(rows.length), right: rows.length > 5 ? search : null },
    !rows.length
      ? empty(t("models.none"), t("models.none_text"), command("lepton init model.onnx"), command("lepton push ./model"))
      : !found.length
        ? empty(t("models.no_match"), null)
        : paged(found, PAGE, memory("models"), (shown) => table(columns(), shown, { key: (row) => row.name, link: (row) => path("models", row.name), label: t("models") })));
}

function columns() {
  return [
    { head: t("model"), cell: (row) => h("a", { class: "name", href: path("models", row.name) }, row.name) },
    { head: t("condition"), cell: (row) => (row.status ? status(row.condition) : h("span", { class: "faint" }, t("condition.not_deployed"))) },
    { head: t("versions.served"), cell: versions },
    { head: t("rate"), class: "r", title: t("figures.rate"), cell: (row) => rate(row.figures?.rate) },
    { head: "", class: "hide-narrow", cell: (row) => (row.figures ? sparkline(row.figures.trend, t("figures.trend")) : null) },
    { head: t("errors"), class: "r", title: t("figures.errors"), cell: errors },
    ...["p50", "p95", "p99"].map((name) => ({ head: name, class: "r", title: t("figures.latency"), cell: (row) => duration(row.figures?.[name]) })),
    { head: "", class: "r", cell: (row) => (row.figures ? h("a", { class: "small", href: explore(`sum by (version, code) (rate(lepton_requests_total{model="${row.name}"}[1m]))`) }, t("figures.open")) : null) },
  ];
}

/** What callers did wrong is counted, and is no reason to worry. */
const errors = (row) => {
  const share = row.figures?.errors;
  if (row.figures?.failures >= 0.01) return h("span", { class: "status unhealthy" }, shape("unhealthy"), percent(share));
  return share >= 0.01 ? h("span", { title: t("figures.mistakes") }, percent(share)) : percent(share);
};

/** The production route's versions with their shares. */
function versions(row) {
  const route = row.entry?.routes.find((each) => each.alias === "production");
  const targets = (route?.targets || []).filter((each) => each.weight > 0);
  if (!targets.length) return h("span", { class: "faint" }, row.entry?.newest ? t("versions.newest", { version: row.entry.newest }) : "–");
  const whole = targets.reduce((sum, each) => sum + each.weight, 0);
  if (targets.length === 1) return chip(`v${targets[0].version}`, "accent");
  const parts = targets.map((each, i) => ({ share: each.weight, tone: i + 1, label: `v${each.version} ${Math.round((100 * each.weight) / whole)} %` }));
  return h("div", { class: "shares" }, shares(parts), h("span", { class: "small soft nowrap" }, parts.map((each) => each.label).join(" · ")));
}
