// All models: served ones and those that only lie in the registry.

import { h } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { fault } from "../core/parts.js";
import { modelTable } from "../parts/model_table.js";

export default {
  place: "models",
  path: "/models",
  title: () => t("place.models"),
  render: ({ live, memory, ask, query }) => [
    h("header", { class: "title" }, h("h1", null, t("place.models")), h("p", { class: "lead" }, t("models.lead"))),
    live.models?.error && fault(live.models.error),
    modelTable(live, { memory, ask, query }),
  ],
};
