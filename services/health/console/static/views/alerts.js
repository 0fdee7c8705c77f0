// What is wrong now and who is told of it, what is promised of models, and everything that happened around it.

import { read } from "../core/api.js";
import { perform } from "../core/dialogs.js";
import { h, s } from "../core/dom.js";
import { count, dateTime, duration, number, percent } from "../core/format.js";
import { t, word } from "../core/i18n.js";
import { now } from "../core/live.js";
import { card, command, empty, fault, paged, status, table, time } from "../core/parts.js";
import { path } from "../core/router.js";
import { say } from "../core/sentences.js";
import { all, alertTable, FIRING, summary } from "../parts/alerts.js";
import { eventList } from "../parts/changes.js";

const DAY_S = 86400;
const MOST_EVENTS = 1000;

export default {
  place: "alerts",
  path: "/alerts",
  title: () => t("place.alerts"),
  every_s: 5,
  async load(params, query, signal) {
    const since = new Date((now() - DAY_S) * 1000).toISOString();
    const [slos, silences, notifications, over, events] = await Promise.all([
      read("AlertService", "ListSlos", {}, signal),
      read("AlertService", "ListSilences", {}, signal),
      read("AlertService", "ListNotifications", { limit: 50 }, signal),
      read("AlertService", "ListAlerts", { states: ["ALERT_STATE_RESOLVED"], limit: 50 }, signal),
      read("EventService", "ListEvents", { since, kinds: query.kind ? [query.kind] : [], limit: MOST_EVENTS }, signal),
    ]);
    return { slos: slos.slos, silences: silences.silences, notifications, over: over.alerts, events: events.events };
  },
  render({ live, data, error, memory, query, ask }) {
    const found = all(live);
    const told = found.filter((each) => each.state === FIRING && !each.silenced_by && !each.inhibited_by);
    const quiet = found.filter((each) => !told.includes(each));
    return [
      h("header", { class: "title" }, h("h1", null, t("place.alerts")), h("p", { class: "lead" }, t("alerts.lead"))),
      live.alerts?.error && fault(live.alerts.error),
      error && fault(error),
      card(t("alerts.now"), { key: "now", about: count(told.length) }, told.length ? alertTable(told) : empty(t("alerts.none"), t("alerts.none_text"))),
      quiet.length > 0 && card(t("alerts.quiet"), { key: "quiet", about: t("alerts.quiet_about") }, alertTable(quiet)),
      data && slos(data.slos),
      data?.silences.length > 0 && silences(data.silences),
      data && h("div", { class: "columns" }, timeline(data.events, query, ask, memory), h("div", { class: "stack wide" }, over(data.over), told_of(data.notifications, memory))),
    ];
  },
};

function slos(found) {
  const rows = found.flatMap((slo) => (slo.status.length ? slo.status : [{}]).map((each) => ({ slo, each })));
  return card(t("slos"), { key: "slos", about: t("slos.about") }, !rows.length
    ? empty(t("slos.none"), t("slos.none_text"), command("lepton slo set MODEL --availability 99.9"))
    : table([
        { head: t("model"), cell: ({ slo }) => h("a", { class: "name", href: path("models", slo.model) }, slo.model) },
        { head: t("slos.promise"), cell: ({ slo, each }) => promise(slo, each) },
        { head: t("slos.budget"), cell: ({ each }) => budget(each) },
        { head: t("slos.burn"), cell: ({ each }) => h("span", { class: "num small" }, burns(each.burn_rates || {})) },
        { head: t("slos.bad"), class: "r", cell: ({ each }) => (each.requests ? `${count(Math.round(each.bad))} / ${count(Math.round(each.requests))}` : "–") },
        { head: t("slos.coverage"), class: "r", cell: ({ each }) => percent(each.coverage, 0) },
      ], rows, { key: ({ slo, each }) => `${slo.model} ${each.objective}` }));
}

/** How fast, the shortest window first. */
function burns(rates) {
  const windows = Object.keys(rates).sort((one, other) => inHours(one) - inHours(other));
  return windows.map((window) => `${window} ${number(rates[window], 2)}×`).join(" · ") || "–";
}

const inHours = (window) => parseFloat(window) * { d: 24, h: 1, m: 1 / 60 }[window.at(-1)];

function promise(slo, each) {
  const within = t("slos.within", { window: duration(parseFloat(slo.window)) });
  const availability = slo.availability !== undefined && t("slos.availability", { share: percent(slo.availability, 3) });
  const latency = slo.latency_share !== undefined && t("slos.latency", { share: percent(slo.latency_share, 3), time: duration(parseFloat(slo.latency)) });
  const said = each.objective === "latency" ? latency : each.objective === "availability" ? availability : [availability, latency].filter(Boolean).join(", ");
  return h("span", null, said, " ", h("span", { class: "faint small" }, within));
}

/** What is left of the budget: a bar that empties. */
function budget(each) {
  if (each.budget_left === undefined) return h("span", { class: "faint" }, t("slos.not_judged"));
  const left = Math.max(0, Math.min(1, each.budget_left));
  const tone = each.budget_left <= 0 ? "--bad-fill" : left < 0.25 ? "--warn-fill" : "--good-fill";
  return h("div", { class: "shares" },
    h("span", { class: "share" }, s("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" }, s("rect", { x: 0, y: 0, width: 100 * left, height: 8, fill: `var(${tone})` }))),
    h("span", { class: "small num" }, t(each.budget_left < 0 ? "slos.overdrawn" : "slos.left", { share: percent(each.budget_left, 0) })));
}

const silences = (found) =>
  card(t("silences"), { key: "silences", about: count(found.length) }, table([
    { head: t("silences.what"), cell: (row) => h("code", { class: "wrap" }, row.matchers.join(", ")) },
    { head: t("alert.comment"), cell: (row) => h("span", { class: "wrap" }, row.comment || "–") },
    { head: t("who"), cell: (row) => row.author || "–" },
    { head: t("silences.alerts"), class: "r", cell: (row) => count(row.alerts) },
    { head: t("silences.until"), class: "r", cell: (row) => h("time", { class: "num" }, dateTime(row.until)) },
    { head: "", class: "r", cell: (row) => h("button", { type: "button", "data-action": "end-silence", onclick: () => perform({ title: t("silences.end_title"), text: row.matchers.join(", "), yes: t("silences.end"), service: "AlertService", method: "EndSilence", request: { id: row.id } }) }, t("silences.end")) },
  ], found, { key: (row) => row.id }));

function timeline(events, query, ask, memory) {
  const kinds = ["deploy", "rollout", "alias", "push", "alert", "replica_joined", "replica_left", "restart", "scale", "settings", "serving_failed"];
  const choose = h("select", { "data-key": `kind ${query.kind || ""}`, "aria-label": t("timeline.kind"), onchange: (event) => ask({ kind: event.target.value }) },
    h("option", { value: "" }, t("timeline.all")), kinds.map((each) => h("option", { value: each, selected: each === query.kind }, word("kind", each))));
  return card(t("timeline"), { key: "timeline", about: t("changes.day"), right: choose },
    events.length ? paged(events, 40, memory("timeline"), eventList) : empty(t("changes.none"), t("changes.none_text")));
}

const over = (found) =>
  card(t("alerts.over"), { key: "over" }, found.length
    ? table([
        { head: t("alerts.what"), cell: (row) => h("a", { class: "name", href: path("alerts", row.fingerprint) }, summary(row)) },
        { head: t("alert.lasted"), class: "r", cell: (row) => duration((Date.parse(row.resolved_at) - Date.parse(row.began_at)) / 1000) },
        { head: t("alert.ended"), class: "r", cell: (row) => time(row.resolved_at) },
      ], found, { key: (row) => `${row.fingerprint} ${row.resolved_at}`, link: (row) => path("alerts", row.fingerprint) })
    : empty(t("alerts.over_none"), null));

function told_of({ notifications, receivers }, memory) {
  const tone = { NOTIFICATION_STATE_DELIVERED: "healthy", NOTIFICATION_STATE_PENDING: "degraded", NOTIFICATION_STATE_FAILED: "unhealthy" };
  return card(t("notifications"), { key: "notifications", about: receivers.map((each) => each.name).join(", ") || t("notifications.no_receivers") },
    notifications.length
      ? paged(notifications, 8, memory("notifications"), (rows) => table([
          { head: t("notifications.to"), cell: (row) => row.receiver },
          { head: t("alerts.what"), cell: (row) => h("span", { class: "wrap" }, say(row.title)) },
          { head: t("state"), cell: (row) => status(tone[row.state] || "unknown", word("notification", row.state)) },
          { head: t("when"), class: "r", cell: (row) => time(row.created_at) },
        ], rows, { key: (row) => row.id }))
      : empty(t("notifications.none"), receivers.length ? null : t("notifications.none_text")));
}
