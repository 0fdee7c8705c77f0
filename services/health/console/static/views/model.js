// One model: what is served of it, its versions, the rollout with its gates, figures, quality, and what users say.

import { read } from "../core/api.js";
import { h } from "../core/dom.js";
import { bytes, count, seconds } from "../core/format.js";
import { t, word } from "../core/i18n.js";
import { body, card, chip, command, empty, fault, paged, shares, status, table, time } from "../core/parts.js";
import { say } from "../core/sentences.js";
import { changesOf, eventList } from "../parts/changes.js";
import { driftCard, readDrift } from "../parts/drift.js";
import { figuresOf } from "../parts/model_figures.js";
import { feedbackTable } from "../parts/feedback_table.js";
import { measure, panelCard, ranges } from "../parts/panels.js";
import { qualityCard } from "../parts/quality.js";
import { WHOLE, forms, rolloutCard } from "../parts/rollout.js";

export default {
  place: "models",
  path: "/models",
  title: ({ name }) => name,
  every_s: 5,
  async load({ name }, query, signal) {
    const [listed, quality, said, drift, panels, exemplars] = await Promise.all([
      read("RegistryService", "ListModels", { name, summary: true }, signal),
      read("FeedbackService", "GetQuality", { model: name }, signal),
      read("FeedbackService", "ListFeedback", { model: name, limit: 20 }, signal),
      readDrift(name, signal),
      measure("model", { model: name }, query.range || "1h", signal),
      read("MetricsService", "ListExemplars", { selector: `lepton_request_seconds_bucket{model="${name}"}` }, signal),
    ]);
    return { model: listed.models[0], quality: quality.versions, feedback: said.feedback, drift, panels, exemplars: exemplars.exemplars };
  },
  render({ live, params, data, error, memory, query, ask }) {
    const name = params.name;
    const found = live.status?.models.find((each) => each.name === name);
    if (error?.status === 404 && !found) {
      return empty(t("model.none", { name }), t("model.none_text"), h("a", { class: "button", href: "/models" }, t("place.models")));
    }
    const range = query.range || "1h";
    const happened = changesOf(live, name);
    const rollouts = (Array.isArray(live.rollouts) ? live.rollouts : []).filter((each) => each.model === name);
    return [
      heading(name, found, data),
      error && fault(error),
      found?.message && h("div", { class: "note stack" }, h("b", { class: "wrap" }, say(found.message)), h("div", { class: "line" }, command(`lepton models ${name}`), command("lepton logs inference -n 100"))),
      rollouts.length > 0 && rolloutCard(rollouts[0]),
      h("div", { class: "sections" },
        data && routes(data.model),
        found && probe(found)),
      h("div", { class: "title" }, h("h2", null, t("model.figures")), h("div", { class: "right" }, ranges(range, ask))),
      figuresOf(name, live),
      data && h("div", { class: "sections" }, data.panels.map((each) => panelCard(each, { values: { model: name }, range, model: name, marks: happened.map((event) => seconds(event.at)), exemplars: each.panel.exemplars ? data.exemplars : [] }))),
      data && versionsCard(data.model, found, memory),
      data && qualityCard(name, data.quality, data.model),
      data && driftCard(name, data.drift),
      data && card(t("feedback.newest"), { key: "feedback", right: h("a", { href: `/feedback?model=${encodeURIComponent(name)}` }, t("all")) }, feedbackTable(data.feedback, { memory, withModel: false })),
      card(t("changes"), { key: "changes", about: t("changes.day") }, happened.length ? eventList(happened.slice(0, 12)) : empty(t("changes.none_of_model"), null)),
      rollouts.length > 1 && pastRollouts(rollouts.slice(1)),
    ];
  },
};

function heading(name, found, data) {
  const newest = data?.model.versions[0];
  return h("header", { class: "stack" },
    h("p", { class: "crumbs" }, h("a", { href: "/models" }, t("place.models"))),
    h("div", { class: "title" },
      h("h1", null, name),
      found ? status(found.condition) : chip(t("condition.not_deployed")),
      h("div", { class: "right" }, h("a", { class: "button", href: `/traces?tags=${encodeURIComponent(JSON.stringify({ "lepton.model.name": name }))}` }, t("traces.of_model")))),
    newest?.description && h("p", { class: "lead wrap" }, newest.description));
}

function routes(model) {
  const found = model.deployment?.routes || [];
  const aliases = Object.entries(model.aliases).filter(([alias]) => !found.some((each) => each.alias === alias));
  return card(t("routes"), { key: "routes" },
    found.length || aliases.length
      ? body(h("div", { class: "bars" }, found.map(route), aliases.map(([alias, version]) => h("div", { class: "bar-row" }, h("span", { class: "wrap" }, alias), h("span", { class: "faint small" }, t("routes.not_served")), chip(`v${version}`)))))
      : empty(t("routes.none"), t("routes.none_text"), command(`lepton deploy ${model.name}`)));
}

function route(each) {
  const targets = arms(each).filter((target) => target.weight);
  const whole = targets.reduce((sum, target) => sum + target.weight, 0) || 1;
  const parts = targets.map((target, i) => ({ share: target.weight, tone: i + 1, label: `v${target.version} ${Math.round((1000 * target.weight) / whole) / 10} %` }));
  return h("div", { class: "bar-row" },
    h("span", { class: "wrap" }, each.alias),
    h("div", { class: "shares" }, shares(parts), each.shadow > 0 && h("span", { class: "small faint" }, t("routes.shadow", { share: each.shadow / 100, version: each.candidate }))),
    h("span", { class: "num small" }, parts.map((part) => part.label).join(" · ")));
}

// A variant that comes in has a share of its version's calls, and no weight of its own.
const arms = (each) => (each.candidate_variant && !each.shadow
  ? [{ version: each.candidate, weight: WHOLE - each.candidate_share }, { version: `${each.candidate}+${each.candidate_variant}`, weight: each.candidate_share }]
  : each.targets);

function probe(found) {
  const last = found.probe;
  return card(t("probe"), { key: "probe", about: t("probe.about") },
    body(last
      ? h("div", { class: "stack" },
          status(last.succeeded ? "healthy" : "unhealthy", t(last.succeeded ? "probe.works" : "probe.fails", { version: last.version })),
          last.error && h("p", { class: "wrap soft" }, say(last.error)))
      : h("p", { class: "soft" }, t("probe.none"))));
}

function versionsCard(model, found, memory) {
  const served = new Map((found?.versions || []).map((each) => [String(each.version), each]));
  return card(t("versions"), { key: "versions", about: count(model.versions.length) },
    paged(model.versions, 20, memory("versions"), (rows) => table([
      { head: t("version"), cell: (row) => h("b", { class: "num" }, `v${row.version}`) },
      { head: t("aliases"), cell: (row) => h("div", { class: "line" }, row.aliases.map((alias) => chip(alias, "accent"))) },
      { head: t("served"), cell: (row) => servedBy(served.get(row.version)) },
      { head: t("state"), cell: (row) => word("version_state", row.state) },
      { head: t("size"), class: "r", cell: (row) => bytes(row.size_bytes) },
      { head: t("pushed"), class: "r", cell: (row) => time(row.created_at) },
      { head: t("tags"), cell: (row) => h("div", { class: "line" }, Object.entries(row.tags).map(([key, value]) => chip(`${key}: ${value}`))) },
      { head: t("made_from"), cell: (row) => h("span", { class: "wrap small soft" }, [row.lineage?.parent, row.lineage?.run].filter(Boolean).join(" · ") || "–") },
    ], rows, { key: (row) => row.version })));
}

function servedBy(each) {
  if (!each) return h("span", { class: "faint" }, "–");
  const words = Object.entries(each.replicas).map(([state, n]) => t(`served.${state}`, { n }));
  return h("span", { class: each.message ? "unhealthy" : "", title: say(each.message) || null }, words.join(", "));
}


const pastRollouts = (rollouts) =>
  card(t("rollouts.past"), { key: "past rollouts" }, table([
    { head: t("version"), cell: (row) => t("rollout.versions", forms(row)) },
    { head: t("state"), cell: (row) => word("rollout", row.state) },
    { head: t("reason"), cell: (row) => h("span", { class: "wrap soft" }, say(row.reason)) },
    { head: t("who"), cell: (row) => h("span", { class: "wrap" }, row.actor || "–") },
    { head: t("when"), class: "r", cell: (row) => time(row.changed_at) },
  ], rollouts.slice(0, 20), { key: (row) => row.id }));

