// Alerts: in one line, as a list, and what a person may do about one.

import { ask, perform, unlock } from "../core/dialogs.js";
import { act } from "../core/api.js";
import { h } from "../core/dom.js";
import { t, word } from "../core/i18n.js";
import { chip, shape, table, time, toast } from "../core/parts.js";
import { path } from "../core/router.js";
import { say } from "../core/sentences.js";

export const FIRING = "ALERT_STATE_FIRING";
const CONDITION = { page: "unhealthy", ticket: "degraded", info: "unknown" };

export const all = (live) => (Array.isArray(live.alerts?.alerts) ? live.alerts.alerts : []);
export const firing = (live) => all(live).filter((each) => each.state === FIRING && !each.silenced_by && !each.inhibited_by);
/** What the status says already, alerts of it need not say again. */
export const beyondStatus = (live) => firing(live).filter((each) => each.judge !== "platform" && each.labels.severity !== "info");
export const condition = (alert) => CONDITION[alert.labels.severity] || "unknown";
export const summary = (alert) => say(alert.annotations.summary) || alert.labels.alertname;

/** The likeliest cause; undefined where none is known. */
const likely = (alert) => alert.annotations.cause || alert.causes?.[0]?.text;

/** In the list of what to do. */
export const alertLine = (alert) =>
  h("li", { "data-key": alert.fingerprint }, shape(condition(alert)),
    h("div", { class: "stack" },
      h("p", { class: "wrap" }, summary(alert), " ", alert.annotations.impact && h("span", { class: "soft" }, say(alert.annotations.impact))),
      likely(alert) && h("p", { class: "small soft wrap" }, t("alert.cause"), ": ", say(likely(alert))),
      h("div", { class: "line" }, h("a", { class: "button", href: path("alerts", alert.fingerprint) }, t("alert.look")), acknowledgeButton(alert), h("span", { class: "small faint" }, t("alert.began"), " ", time(alert.began_at)))));

export function alertTable(alerts) {
  return table([
    { head: t("alert.severity"), cell: (row) => h("span", { class: `status ${condition(row)}` }, shape(condition(row)), word("severity", row.labels.severity)) },
    { head: t("alerts.what"), cell: (row) => h("div", null, h("a", { class: "name", href: path("alerts", row.fingerprint) }, summary(row)), h("p", { class: "small faint wrap" }, row.labels.alertname)) },
    { head: t("alerts.about"), cell: about },
    { head: t("state"), cell: state },
    { head: t("alert.since"), class: "r", cell: (row) => time(row.began_at) },
    { head: "", class: "r", cell: acknowledgeButton },
  ], alerts, { key: (row) => row.fingerprint, link: (row) => path("alerts", row.fingerprint), label: t("place.alerts") });
}

export function about(alert) {
  const { alertname, severity, ...others } = alert.labels;
  return h("div", { class: "line" }, Object.entries(others).map(([name, value]) =>
    name === "model" ? h("a", { href: path("models", value) }, chip(value, "accent")) : chip(`${name}: ${value}`)));
}

export function state(alert) {
  const words = [chip(word("alert_state", alert.state), alert.state === FIRING ? "bad" : "")];
  if (alert.acknowledgement) words.push(chip(t("alert.with", { who: alert.acknowledgement.who || "?" })));
  if (alert.silenced_by) words.push(chip(t("alert.silenced")));
  if (alert.inhibited_by) words.push(h("a", { href: path("alerts", alert.inhibited_by) }, chip(t("alert.follows"))));
  return h("div", { class: "line" }, words);
}

export function acknowledgeButton(alert) {
  if (alert.state !== FIRING || alert.acknowledgement) return null;
  return h("button", { type: "button", "data-action": "acknowledge", onclick: () => perform({
    title: t("alert.acknowledge_title"),
    text: t("alert.acknowledge_text", { summary: summary(alert) }),
    yes: t("alert.acknowledge"),
    service: "AlertService",
    method: "AcknowledgeAlert",
    request: { fingerprint: alert.fingerprint },
  }) }, t("alert.acknowledge"));
}

/** Silence what has the same labels, for some hours. */
export function silenceButton(alert) {
  const silence = async () => {
    if (!(await unlock())) return;
    const matchers = Object.entries(alert.labels).filter(([name]) => name !== "severity").map(([name, value]) => `${name}=${JSON.stringify(value)}`).sort();
    const given = await ask({
      title: t("alert.silence_title"),
      text: matchers.join(", "),
      yes: t("alert.silence"),
      fields: [
        { name: "hours", label: t("alert.hours"), type: "number", min: 1, max: 8760, value: 4, required: true },
        { name: "comment", label: t("alert.comment"), maxlength: 500, required: true },
      ],
      submit: ({ hours, comment }) => act("AlertService", "CreateSilence", { matchers, duration: `${Math.round(Number(hours) * 3600)}s`, comment }),
    });
    if (!given) return;
    toast(t("done"));
    document.dispatchEvent(new Event("lepton:changed"));
  };
  return h("button", { type: "button", "data-action": "silence", onclick: silence }, t("alert.silence"));
}

