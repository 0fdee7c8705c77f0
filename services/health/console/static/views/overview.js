// The first screen: is it well, what changed, what to do; then every model in one line.

import { h } from "../core/dom.js";
import { clock, count } from "../core/format.js";
import { t } from "../core/i18n.js";
import { body, card, command, empty, shape } from "../core/parts.js";
import { path } from "../core/router.js";
import { say } from "../core/sentences.js";
import { alertLine, beyondStatus } from "../parts/alerts.js";
import { changes } from "../parts/changes.js";
import { modelTable } from "../parts/model_table.js";

export default {
  place: "overview",
  path: "/",
  title: () => t("place.overview"),
  render({ live, memory, ask, query }) {
    if (!live.status) return h("div", { class: "stack" }, h("div", { class: "skeleton" }), h("div", { class: "skeleton" }));
    return [
      verdict(live.status, beyondStatus(live), live.clock),
      h("div", { class: "columns" }, todo(live), changes(live, memory)),
      modelTable(live, { memory, ask, query }),
    ];
  },
};

function verdict(status, alerts, seen) {
  const replicas = status.services.flatMap((each) => each.replicas);
  const answering = replicas.filter((each) => each.condition === "healthy").length;
  const condition = status.condition === "healthy" && alerts.length ? "degraded" : status.condition;
  const models = status.models.filter((each) => each.condition === "healthy").length;
  return h(
    "header",
    { class: `verdict ${condition}`, "data-testid": "verdict", "data-condition": condition },
    shape(condition),
    h("div", null,
      h("h1", null, sentence(status, condition, status.problems.length + alerts.length)),
      h("p", { class: "soft" },
        h("a", { href: "/topology" }, t("verdict.replicas", { n: replicas.length, answering: count(answering), all: count(replicas.length) })),
        " · ",
        status.models.length
          ? h("a", { href: "/models" }, t("verdict.models", { n: status.models.length, answering: count(models), all: count(status.models.length) }))
          : t("verdict.no_models"),
        seen && [" · ", t("verdict.seen", { time: clock(seen) })])),
  );
}

function sentence(status, condition, n) {
  if (status.stale_since) return t("verdict.stale");
  if (condition === "healthy") return t(status.models.length ? "verdict.healthy" : "verdict.empty");
  return t(condition === "degraded" ? "verdict.degraded" : "verdict.unhealthy", { n });
}

function todo(live) {
  const problems = live.status.problems;
  const alerts = beyondStatus(live);
  const waiting = (Array.isArray(live.rollouts) ? live.rollouts : []).filter((each) => each.state === "ROLLOUT_STATE_HELD" || each.state === "ROLLOUT_STATE_PAUSED");
  const first = !live.status.models.length && !problems.length;
  if (!problems.length && !waiting.length && !alerts.length) {
    return card(t("todo"), { key: "todo" },
      first
        ? empty(t("todo.first"), t("todo.first_text"), command("lepton push ./my-model"), command("lepton deploy my-model"))
        : empty(t("todo.nothing"), t("todo.nothing_text")));
  }
  return card(t("todo"), { key: "todo", about: count(problems.length + waiting.length + alerts.length) },
    h("ol", { class: "todo" }, waiting.map(heldRollout), problems.slice(0, 12).map(problem), alerts.slice(0, 12).map(alertLine)),
    problems.length > 12 && body(t("todo.others", { n: problems.length - 12 })));
}

const heldRollout = (rollout) =>
  h("li", { "data-key": `rollout ${rollout.id}` }, shape("degraded"),
    h("div", { class: "stack" },
      h("p", { class: "wrap" }, t("todo.rollout", { model: rollout.model, version: rollout.version }), " ", h("span", { class: "soft" }, say(rollout.reason))),
      h("div", { class: "line" }, h("a", { class: "button", href: path("models", rollout.model) }, t("todo.decide")))));

const problem = (each) =>
  h("li", { "data-key": each.sentence }, shape(each.kind === "model" ? "unhealthy" : "degraded"),
    h("div", { class: "stack" },
      h("p", { class: "wrap" }, say(each.sentence)),
      h("div", { class: "line" },
        command(each.command),
        each.kind === "model" && h("a", { href: path("models", each.name) }, t("todo.open", { name: each.name })),
        each.kind === "service" && h("a", { href: "/topology" }, t("todo.open", { name: each.name })))));

