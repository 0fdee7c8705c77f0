// What users say of predictions.

import { read } from "../core/api.js";
import { h } from "../core/dom.js";
import { count } from "../core/format.js";
import { t } from "../core/i18n.js";
import { card, fault } from "../core/parts.js";
import { complaintsCard } from "../parts/complaints.js";
import { feedbackTable } from "../parts/feedback_table.js";
import { modelRows } from "../parts/model_table.js";
import { qualityCard } from "../parts/quality.js";

const MOST = 1000;

export default {
  place: "feedback",
  path: "/feedback",
  title: () => t("place.feedback"),
  every_s: 10,
  async load(params, query, signal) {
    const wanted = { model: query.model || "", only_bad: query.bad === "1", only_texts: query.texts === "1", limit: MOST };
    const [said, quality, complaints] = await Promise.all([
      read("FeedbackService", "ListFeedback", wanted, signal),
      query.model ? read("FeedbackService", "GetQuality", { model: query.model }, signal) : { versions: null },
      query.model ? read("FeedbackService", "GroupComplaints", { model: query.model }, signal) : { groups: [] },
    ]);
    return { feedback: said.feedback, quality: quality.versions, complaints: complaints.groups };
  },
  render({ live, data, error, memory, query, ask }) {
    return [
      h("header", { class: "title" }, h("h1", null, t("place.feedback")), h("p", { class: "lead" }, t("feedback.lead"))),
      h("div", { class: "tools" },
        h("label", { class: "field" }, t("model"),
          h("select", { "data-key": `models ${query.model || ""}`, onchange: (event) => ask({ model: event.target.value }) },
            h("option", { value: "" }, t("feedback.all_models")),
            modelRows(live).map((each) => h("option", { value: each.name, selected: each.name === query.model }, each.name)))),
        check("bad", t("feedback.only_bad"), query, ask),
        check("texts", t("feedback.only_texts"), query, ask)),
      error && fault(error),
      data?.quality && qualityCard(query.model, data.quality),
      data && complaintsCard(data.complaints),
      data && card(t("feedback.said_title"), { key: "said", about: t(data.feedback.length >= MOST ? "feedback.newest_n" : "feedback.n", { n: count(data.feedback.length) }) },
        feedbackTable(data.feedback, { memory })),
    ];
  },
};

const check = (name, label, query, ask) =>
  h("label", { class: "check", "data-key": `${name} ${query[name] || ""}` },
    h("input", { type: "checkbox", checked: query[name] === "1", onchange: (event) => ask({ [name]: event.target.checked ? "1" : "" }) }), label);
