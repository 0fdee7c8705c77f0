// Log records of WARNING and up of all processes, grouped by kind. They may hold what is for few eyes: they need the token.

import { read, token } from "../core/api.js";
import { unlock } from "../core/dialogs.js";
import { h } from "../core/dom.js";
import { clock, count } from "../core/format.js";
import { t, word } from "../core/i18n.js";
import { card, chip, command, empty, fault, paged, pairs, table, time } from "../core/parts.js";
import { path } from "../core/router.js";

export default {
  place: "logs",
  path: "/logs",
  title: () => t("place.logs"),
  every_s: 5,
  async load(params, query, signal) {
    if (!token.get()) return null;
    const level = query.level || "LOG_LEVEL_WARNING";
    const asked = { service: query.service || "", level, template_id: query.kind || "0", trace_id: query.trace || "", text: query.q || "", limit: 500 };
    const [templates, logs] = await Promise.all([
      read("EventService", "ListTemplates", { service: query.service || "", level, limit: 200 }, signal),
      read("EventService", "ListLogs", asked, signal),
    ]);
    return { templates: templates.templates, records: logs.records };
  },
  render({ live, data, error, memory, query, ask }) {
    const head = h("header", { class: "title" }, h("h1", null, t("place.logs")), h("p", { class: "lead" }, t("logs.lead")));
    if (!token.get()) return [head, card(null, {}, empty(t("logs.locked"), t("logs.locked_text"), h("button", { class: "primary", type: "button", onclick: unlock }, t("token.enter"))))];
    return [
      head,
      tools(live, query, ask),
      error && fault(error),
      data && !query.trace && templates(data.templates, query, ask, memory),
      data && records(data.records, memory),
    ];
  },
};

function tools(live, query, ask) {
  const services = (live.status?.services || []).map((each) => each.name);
  return h("div", { class: "tools" },
    h("label", { class: "field" }, t("logs.search"), h("input", { type: "search", value: query.q || "", "data-search": true, onchange: (event) => ask({ q: event.target.value.trim() }) })),
    choice(t("service"), [["", t("logs.all")], ...services.map((each) => [each, each])], query.service || "", (value) => ask({ service: value })),
    choice(t("logs.level"), ["WARNING", "ERROR", "CRITICAL"].map((each) => [`LOG_LEVEL_${each}`, word("level", each)]), query.level || "LOG_LEVEL_WARNING", (value) => ask({ level: value })),
    (query.kind || query.trace) && h("button", { type: "button", onclick: () => ask({ kind: "", trace: "" }) }, t("logs.all_kinds")));
}

const choice = (label, options, chosen, choose) =>
  h("label", { class: "field", "data-key": `${label} ${chosen} ${options.length}` }, label,
    h("select", { onchange: (event) => choose(event.target.value) }, options.map(([value, words]) => h("option", { value, selected: value === chosen }, words))));

function templates(found, query, ask, memory) {
  if (!found.length) return null;
  return card(t("logs.kinds"), { key: "kinds", about: t("logs.kinds_about") }, paged(found, 10, memory("kinds"), (rows) => table([
    { head: t("logs.count"), class: "r", cell: (row) => count(row.count) },
    { head: t("logs.level"), cell: (row) => level(row.level) },
    { head: t("logs.kind"), cell: (row) => h("button", { class: "plain template", type: "button", "aria-pressed": String(query.kind === row.id), onclick: () => ask({ kind: row.id }) }, row.text) },
    { head: t("service"), cell: (row) => row.service },
    { head: t("logs.first"), class: "r", cell: (row) => time(row.first_seen) },
    { head: t("logs.last"), class: "r", cell: (row) => time(row.last_seen) },
  ], rows, { key: (row) => row.id })));
}

const level = (name) => {
  const bare = name.replace("LOG_LEVEL_", "");
  return chip(word("level", bare), bare === "WARNING" ? "warn" : "bad");
};

function records(found, memory) {
  if (!found.length) return card(t("logs.records"), {}, empty(t("logs.none"), t("logs.none_text"), command("lepton logs -f")));
  return card(t("logs.records"), { key: "records", about: count(found.length) }, paged(found, 50, memory("records"), (rows) =>
    h("ol", { class: "events" }, rows.map((row, i) => record(row, i)))));
}

const record = (row, i) =>
  h("li", { "data-key": `${row.at} ${row.instance} ${i}` },
    h("time", { class: "num faint" }, clock(row.at)),
    h("div", { class: "stack tight" },
      h("p", { class: "wrap" }, row.message),
      h("p", { class: "small faint line" }, level(row.level), h("span", null, row.service), h("code", null, row.instance), h("span", null, row.logger),
        row.trace_id && h("a", { href: path("traces", row.trace_id) }, t("logs.trace"))),
      (Object.keys(row.fields).length > 0 || row.exception) && h("details", { class: "small" }, h("summary", { class: "faint" }, t("logs.more")), pairs(row.fields), row.exception && h("pre", null, row.exception))));

