// What is likely to have caused an alert, the likeliest first, each with where there is more of it.

import { h } from "../core/dom.js";
import { t, word } from "../core/i18n.js";
import { chip } from "../core/parts.js";
import { path } from "../core/router.js";
import { say } from "../core/sentences.js";
import { explore } from "./panels.js";

const PLACES = {
  alert: ({ see }) => path("alerts", see),
  log: ({ see }) => `/logs?${new URLSearchParams({ kind: see })}`,
  change: () => "/alerts",
};

export function causes({ causes: found = [], annotations }) {
  if (!found.length) return null;
  return h("div", { class: "stack", "data-testid": "causes" },
    h("h3", { class: "small soft" }, t(annotations.cause ? "alert.causes_more" : "alert.causes")),
    h("ol", { class: "causes" }, found.map((each, i) => h("li", { "data-key": `${each.kind} ${i}` },
      h("span", { class: "wrap" }, say(each.text)), " ", chip(word("cause", each.kind)), " ", link(each)))));
}

function link(cause) {
  const place = PLACES[cause.kind] || (cause.see ? ({ see }) => explore(see) : PLACES.change);
  return h("a", { class: "small", href: place(cause), title: cause.command }, t("alert.cause_look"));
}
