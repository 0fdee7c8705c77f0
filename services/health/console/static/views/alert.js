// One alert: what, since when, for whom, why, what to do, and all that became of it.

import { read } from "../core/api.js";
import { h } from "../core/dom.js";
import { clock, duration, number, percent } from "../core/format.js";
import { language, t, word } from "../core/i18n.js";
import { body, card, empty, facts, fault, pairs, status, table, time } from "../core/parts.js";
import { path } from "../core/router.js";
import { say } from "../core/sentences.js";
import { about, acknowledgeButton, condition, silenceButton, state, summary } from "../parts/alerts.js";
import { eventList } from "../parts/changes.js";
import { causes } from "../parts/causes.js";
import { explore } from "../parts/panels.js";
import { runbook } from "../parts/runbook.js";

const AROUND_US = 60e6;
const SUSPECT_MS = 30 * 60_000;
const MOST_CHANGES = 10;
const ABOUT = ["model", "instance", "service"];

export default {
  place: "alerts",
  path: "/alerts",
  title: ({ id }) => t("alert.title", { id }),
  every_s: 3,
  async load({ id }, query, signal) {
    const found = await read("AlertService", "GetAlert", { fingerprint: id, language: language() }, signal);
    return { ...found, changes: await changesBefore(found.alert, signal) };
  },
  render({ params, data, error }) {
    const crumbs = h("p", { class: "crumbs" }, h("a", { href: "/alerts" }, t("place.alerts")));
    if (error?.status === 404) return [crumbs, empty(t("alert.unknown", { id: params.id }), null)];
    if (error && !data) return [crumbs, fault(error)];
    if (!data) return [crumbs, h("div", { class: "skeleton" })];
    const alert = data.alert;
    return [
      h("header", { class: "stack" }, crumbs,
        h("div", { class: "title" }, h("h1", null, summary(alert)), h("div", { class: "right" }, acknowledgeButton(alert), !alert.resolved_at && silenceButton(alert))),
        h("div", { class: "line" }, status(condition(alert), word("severity", alert.labels.severity)), state(alert), about(alert))),
      facts(
        [t("alert.since"), clock(alert.began_at), time(alert.began_at)],
        [t("alert.lasted"), duration(((alert.resolved_at ? Date.parse(alert.resolved_at) : Date.now()) - Date.parse(alert.began_at)) / 1000)],
        [t("alert.value"), number(alert.value)],
        alert.annotations.share && [t("alert.share"), percent(Number(alert.annotations.share))]),
      explanation(alert, data.runbook),
      data.runbook && card(t("alert.runbook"), { key: `runbook ${alert.fingerprint}`, about: alert.labels.alertname }, body(runbook(data.runbook))),
      alert.acknowledgement?.comment && card(t("alert.with", { who: alert.acknowledgement.who }), {}, body(h("p", { class: "wrap" }, alert.acknowledgement.comment))),
      h("div", { class: "columns" }, history(data.history), data.changes.length > 0 && card(t("changes"), { key: "around", about: t("alert.changes") }, eventList(data.changes))),
      data.notifications.length > 0 && notifications(data.notifications),
    ];
  },
};

/** What changed about its model, replica or service from half an hour before it began to its end; other alerts are no cause. */
async function changesBefore({ labels, began_at: began, resolved_at: resolved }, signal) {
  const about = ABOUT.find((each) => labels[each]);
  if (!about) return [];
  const since = new Date(Date.parse(began) - SUSPECT_MS).toISOString();
  const asked = { labels: { [about]: labels[about] }, since, limit: 100, ...(resolved && { until: resolved }) };
  const { events } = await read("EventService", "ListEvents", asked, signal);
  return events.filter((each) => each.kind !== "alert").slice(0, MOST_CHANGES);
}

/** The calls of a model around the moment at which its alert began. */
function tracesOf({ labels, began_at: began }) {
  const at = Date.parse(began) * 1000;
  return `/traces?${new URLSearchParams({ tags: JSON.stringify({ "lepton.model.name": labels.model }), start: at - AROUND_US, end: at + AROUND_US })}`;
}

/** `text`: its section of the runbooks, which has a card of its own; where there is none, its name is told. */
function explanation(alert, text) {
  const { annotations, fingerprint, labels } = alert;
  const said = [[t("alert.description"), "description"], [t("alert.impact"), "impact"], [t("alert.cause"), "cause"], ...(text ? [] : [[t("alert.runbook"), "runbook"]])];
  const told = Object.fromEntries(said.filter(([, name]) => annotations[name]).map(([words, name]) => [words, h("span", { class: "wrap" }, say(annotations[name]))]));
  const links = [
    annotations.query && h("a", { class: "button", href: explore(annotations.query) }, t("alert.chart")),
    labels.model && h("a", { class: "button", href: tracesOf(alert) }, t("traces.of_model")),
    annotations.trace_id && h("a", { class: "button", href: path("traces", annotations.trace_id) }, t("alert.trace")),
  ].filter(Boolean);
  const found = causes(alert);
  if (!links.length && !found && !Object.keys(told).length) return null;
  return card(t("alert.why"), { key: `why ${fingerprint}` }, body(h("div", { class: "stack" }, pairs(told), found, links.length > 0 && h("div", { class: "line" }, links))));
}

const history = (found) =>
  card(t("alert.history"), { key: "history" }, h("ol", { class: "events" }, found.map((each, i) =>
    h("li", { "data-key": `${each.at} ${i}` }, h("time", { class: "num faint" }, clock(each.at)), h("div", null, h("p", null, word("happening", each.what)), each.detail && h("p", { class: "small soft wrap" }, say(each.detail)))))));

const notifications = (found) =>
  card(t("notifications"), { key: "notifications" }, table([
    { head: t("notifications.to"), cell: (row) => row.receiver },
    { head: t("reason"), cell: (row) => word("happening", row.reason) },
    { head: t("state"), cell: (row) => word("notification", row.state) },
    { head: t("message"), cell: (row) => h("span", { class: "wrap soft" }, say(row.error) || "–") },
    { head: t("when"), class: "r", cell: (row) => time(row.created_at) },
  ], found, { key: (row) => row.id }));
