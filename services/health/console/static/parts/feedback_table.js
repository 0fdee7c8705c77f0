// What users said, and giving the right label for it.

import { ask, unlock } from "../core/dialogs.js";
import { act } from "../core/api.js";
import { h } from "../core/dom.js";
import { number } from "../core/format.js";
import { t, word } from "../core/i18n.js";
import { chip, command, empty, paged, table, time, toast } from "../core/parts.js";
import { path } from "../core/router.js";

export function feedbackTable(rows, { memory, withModel = true }) {
  if (!rows.length) return empty(t("feedback.none"), t("feedback.none_text"), command("lepton feedback give PREDICTION --label cat"));
  return paged(rows, 50, memory("feedback"), (shown) => table([
    { head: t("when"), cell: (row) => time(row.submitted_at) },
    withModel && { head: t("model"), cell: (row) => (row.model ? h("a", { href: path("models", row.model) }, row.model) : h("span", { class: "faint" }, t("feedback.unknown"))) },
    { head: t("version"), cell: (row) => (Number(row.version) ? `v${row.version}` : "–") },
    { head: t("feedback.predicted"), cell: predicted },
    { head: t("feedback.said"), cell: said },
    { head: t("state"), cell: (row) => h("span", { class: "soft" }, word("feedback_state", row.state)) },
    { head: "", class: "r", cell: (row) => h("button", { class: "plain", type: "button", "data-action": "label", onclick: () => label(row) }, t("feedback.label")) },
  ], shown, { key: (row) => `${row.feedback.prediction_id} ${row.submitted_at} ${kind(row.feedback)}`, label: t("place.feedback") }));
}

const predicted = (row) =>
  h("div", null, h("span", { class: "wrap" }, row.predicted || (row.score ? number(row.score) : "–")), " ", row.predicted && h("span", { class: "faint num small" }, number(row.score)));

const kind = (feedback) => ["label", "rating", "thumb_up", "text", "questionnaire"].filter((name) => name in feedback && feedback[name] !== "").join();

function said({ feedback }) {
  const answers = Object.entries(feedback.answers || {});
  return h("div", { class: "stack tight" },
    feedback.label !== undefined && h("span", { class: "wrap" }, t("feedback.right_label"), " ", h("b", null, feedback.label)),
    feedback.rating !== undefined && h("span", null, t("feedback.rating", { rating: number(feedback.rating) })),
    feedback.thumb_up !== undefined && chip(t(feedback.thumb_up ? "feedback.good" : "feedback.bad"), feedback.thumb_up ? "accent" : "bad"),
    feedback.text && h("span", { class: "wrap" }, feedback.text),
    answers.length > 0 && h("span", { class: "wrap small" }, answers.map(([name, value]) => `${name}: ${value}`).join(" · ")));
}

/** Say which label is right: it counts as a user's does, under the name of the token. */
async function label(row) {
  if (!(await unlock())) return;
  const given = await ask({
    title: t("feedback.label_title"),
    text: t("feedback.label_text", { predicted: row.predicted || "–" }),
    fields: [{ name: "label", label: t("feedback.label_field"), required: true, maxlength: 1000, autocomplete: "off" }],
    yes: t("feedback.label_send"),
    submit: async ({ label: right }) => {
      const answer = await act("FeedbackService", "SubmitFeedback", { feedback: [{ prediction_id: row.feedback.prediction_id, label: right }] });
      const refused = answer.outcomes[0]?.error;
      if (refused) throw new Error(refused.message);
    },
  });
  if (!given) return;
  toast(t("done"));
  document.dispatchEvent(new Event("lepton:changed"));
}

