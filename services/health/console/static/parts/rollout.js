// A rollout: its steps, what the gates say and rest on, and what a person may do.

import { h } from "../core/dom.js";
import { duration, number, percent } from "../core/format.js";
import { t, word } from "../core/i18n.js";
import { perform } from "../core/dialogs.js";
import { say } from "../core/sentences.js";
import { body, card, chip, command, pairs, status, table, time } from "../core/parts.js";

const OVER = new Set(["ROLLOUT_STATE_PROMOTED", "ROLLOUT_STATE_ROLLED_BACK", "ROLLOUT_STATE_ABORTED"]);
export const WHOLE = 10000;
const CONDITION = { VERDICT_OUTCOME_HARM: "unhealthy", VERDICT_OUTCOME_FINE: "healthy", VERDICT_OUTCOME_INCONCLUSIVE: "degraded", VERDICT_OUTCOME_ABSENT: "unknown" };

export function rolloutCard(rollout) {
  const over = OVER.has(rollout.state);
  return card(t(over ? "rollout.last" : "rollout.now"), { key: `rollout ${rollout.id}`, about: t("rollout.versions", forms(rollout)), right: over ? null : buttons(rollout) },
    body(h("div", { class: "stack" },
      h("div", { class: "line" }, chip(word("rollout", rollout.state), tone(rollout.state)), rollout.state !== "ROLLOUT_STATE_HELD" && h("span", { class: "wrap" }, say(rollout.reason))),
      steps(rollout, over),
      rollout.verdict?.sentence && h("p", { class: "wrap" }, status(CONDITION[rollout.verdict.outcome] || "unknown", t("rollout.verdict")), " ", say(rollout.verdict.sentence)),
      h("p", { class: "small faint" }, t("rollout.begun"), " ", time(rollout.started_at), rollout.actor && [" · ", rollout.actor], rollout.baking && [" · ", t("rollout.baking", { version: forms(rollout).from })]))),
    gates(rollout),
    !over && h("footer", null, command(`lepton rollout status ${rollout.model}`)));
}

const form = (version, variant) => (variant ? `${version}+${variant}` : version);

// What it goes to and where it comes from: versions, or variants of one.
export const forms = (rollout) => ({ from: form(rollout.old_version, rollout.old_variant), to: form(rollout.version, rollout.variant) });

const tone = (state) => (state === "ROLLOUT_STATE_ROLLED_BACK" ? "bad" : state === "ROLLOUT_STATE_HELD" || state === "ROLLOUT_STATE_PAUSED" ? "warn" : "accent");

function steps(rollout, over) {
  const plan = rollout.plan || { shares: [] };
  const names = [...(plan.shadow ? [t("rollout.shadow", { share: percent(plan.shadow / WHOLE) })] : []), ...plan.shares.map((share) => percent(share / WHOLE)), percent(1)];
  const at = rollout.state === "ROLLOUT_STATE_PROMOTED" ? names.length : rollout.step;
  const failed = over && rollout.state !== "ROLLOUT_STATE_PROMOTED";
  return h("ol", { class: "steps", "aria-label": t("rollout.steps") }, names.map((name, i) =>
    h("li", { class: i < at ? "done" : i === at ? (failed ? "failed" : "now") : "", "aria-current": i === at && !over ? "step" : null },
      name, i === at && !over && plan.step_s > 0 ? ` · ${duration(rollout.step_passed_s)} / ${duration(plan.step_s)}` : "")));
}

function gates(rollout) {
  const found = (rollout.verdict?.gates || []).filter((each) => each.outcome !== "VERDICT_OUTCOME_ABSENT");
  if (!found.length) return null;
  return table([
    { head: t("gate"), cell: (row) => h("b", { class: "nowrap" }, say(row.gate)) },
    { head: t("gate.outcome"), cell: (row) => status(CONDITION[row.outcome] || "unknown", word("outcome", row.outcome)) },
    { head: t("gate.evidence"), cell: (row) => h("div", null, h("p", { class: "wrap" }, say(row.sentence)), evidence(row.numbers)) },
  ], found, { key: (row) => row.gate, label: t("gates") });
}

const evidence = (numbers) =>
  Object.keys(numbers || {}).length > 0 &&
  h("details", { class: "small" }, h("summary", { class: "faint" }, t("gate.numbers")),
    pairs(Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name.replaceAll("_", " "), number(value, 4)]))));

function buttons(rollout) {
  const paused = rollout.state === "ROLLOUT_STATE_PAUSED";
  return [
    button(rollout, paused ? "RESUME" : "PAUSE"),
    button(rollout, "PROMOTE", "primary"),
    button(rollout, "ABORT", "danger"),
  ];
}

function button(rollout, action, kind = "") {
  const name = action.toLowerCase();
  const { from, to } = forms(rollout);
  const values = { model: rollout.model, version: to, old: from };
  return h("button", {
    type: "button",
    class: kind,
    "data-action": name,
    onclick: () => perform({
      title: t(`rollout.${name}_title`, values),
      text: t(`rollout.${name}_text`, values),
      yes: t(`rollout.${name}`),
      danger: kind === "danger",
      service: "RegistryService",
      method: "ControlRollout",
      request: { model: rollout.model, action: `ROLLOUT_ACTION_${action}` },
    }),
  }, t(`rollout.${name}`));
}
