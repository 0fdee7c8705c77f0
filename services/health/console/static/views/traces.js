// The newest traces that are wanted: how long each took as a picture, then as a list.

import { get } from "../core/api.js";
import { h, s } from "../core/dom.js";
import { clock, count, duration } from "../core/format.js";
import { t } from "../core/i18n.js";
import { body, card, chip, command, empty, fault, paged, shape, table, time } from "../core/parts.js";
import { go, path } from "../core/router.js";

const FIELDS = ["service", "operation", "tags", "minDuration", "maxDuration", "limit", "start", "end"];
const SIZE = { width: 1000, height: 190, left: 62, bottom: 24, top: 10, right: 12 };

export default {
  place: "traces",
  path: "/traces",
  title: () => t("place.traces"),
  every_s: 5,
  async load(params, query, signal) {
    const wanted = new URLSearchParams(Object.entries(query).filter(([name]) => FIELDS.includes(name)));
    if (query.errors === "1") wanted.set("tags", JSON.stringify({ ...tagsOf(query), error: "true" }));
    const [found, services] = await Promise.all([get(`/api/traces?${wanted}`, signal), get("/api/trace-services", signal)]);
    return { traces: found.traces, services: services.services };
  },
  render({ live, data, error, memory, query, ask }) {
    return [
      h("header", { class: "title" }, h("h1", null, t("place.traces")), h("p", { class: "lead" }, t("traces.lead"))),
      search(data, live, query, ask),
      error && fault(error),
      data && list(data.traces, memory),
    ];
  },
};

function tagsOf(query) {
  try {
    return JSON.parse(query.tags || "{}");
  } catch {
    return {};
  }
}

function search(data, live, query, ask) {
  const tags = tagsOf(query);
  const models = (live.status?.models || []).map((each) => each.name);
  const named = tags["lepton.model.name"] || "";
  if (named && !models.includes(named)) models.unshift(named);
  const services = data?.services || [query.service || "inference"];
  const chosen = query.service || "inference";
  const changed = (name) => (event) => ask({ [name]: event.target.value.trim() });
  const byModel = (event) => ask({ tags: event.target.value ? JSON.stringify({ ...tags, "lepton.model.name": event.target.value }) : "" });
  const open = (event) => {
    event.preventDefault();
    const id = new FormData(event.currentTarget).get("id").trim();
    if (id) go(path("traces", id));
  };
  return h("div", { class: "tools" },
    select(t("service"), services, chosen, changed("service")),
    select(t("model"), models, named, byModel, t("feedback.all_models")),
    h("label", { class: "field" }, t("traces.longer"), h("input", { value: query.minDuration || "", size: 8, placeholder: "50ms", "data-search": true, onchange: changed("minDuration") })),
    select(t("traces.how_many"), ["20", "50", "100", "200"], query.limit || "50", changed("limit")),
    h("label", { class: "check", "data-key": `errors ${query.errors || ""}` }, h("input", { type: "checkbox", checked: query.errors === "1", onchange: (event) => ask({ errors: event.target.checked ? "1" : "" }) }), t("traces.only_errors")),
    h("form", { class: "right", onsubmit: open }, h("label", { class: "field" }, t("traces.by_id"), h("input", { name: "id", size: 18, placeholder: "4bf92f35…", autocomplete: "off" }))));
}

function select(label, values, chosen, onchange, all = null) {
  return h("label", { class: "field", "data-key": `${label} ${chosen} ${values.length}` }, label,
    h("select", { onchange }, all !== null && h("option", { value: "" }, all), values.map((each) => h("option", { value: each, selected: each === chosen }, each))));
}

function list(traces, memory) {
  if (!traces.length) return card(t("traces.found"), {}, empty(t("traces.none"), t("traces.none_text"), command("lepton predict MODEL FILE --trace")));
  return [
    card(t("traces.durations"), { key: "scatter", about: t("traces.durations_about") }, body(scatter(traces))),
    card(t("traces.found"), { key: "list", about: count(traces.length) }, paged(traces, 50, memory("traces"), (rows) => table([
      { head: t("when"), cell: (row) => h("span", { class: "num nowrap", title: clock(row.start_us / 1e6) }, time(row.start_us / 1e6)) },
      { head: t("traces.request"), cell: (row) => h("div", null, h("a", { class: "name", href: path("traces", row.trace_id) }, shortOf(row.operation)), " ", h("span", { class: "faint small" }, row.service)) },
      { head: t("model"), cell: (row) => h("div", { class: "line" }, row.models.map((each) => chip(each))) },
      { head: t("traces.spans"), class: "r", cell: (row) => count(row.spans) },
      { head: t("errors"), class: "r", cell: (row) => (row.errors ? h("span", { class: "status unhealthy" }, shape("unhealthy"), count(row.errors)) : "–") },
      { head: t("duration"), class: "r", cell: (row) => duration(row.duration_us / 1e6) },
    ], rows, { key: (row) => row.trace_id, link: (row) => path("traces", row.trace_id), label: t("traces.found") }))),
  ];
}

/** "lepton.v1.InferenceService/Predict" → "Predict". */
const shortOf = (operation) => operation.split("/").at(-1) || operation;

/** When each began against how long it took, which is drawn on a logarithmic scale; failed ones are squares. */
function scatter(traces) {
  const times = traces.map((each) => each.start_us);
  const [first, last] = [Math.min(...times), Math.max(...times)];
  const [low, high] = bounds(traces.map((each) => Math.max(1, each.duration_us)));
  const x = (at) => SIZE.left + ((SIZE.width - SIZE.left - SIZE.right) * (at - first)) / Math.max(1, last - first);
  const y = (us) => SIZE.height - SIZE.bottom - ((SIZE.height - SIZE.bottom - SIZE.top) * (Math.log10(Math.max(1, us)) - low)) / (high - low);
  const marks = Array.from({ length: high - low + 1 }, (_, i) => low + i);
  return h("div", { class: "scatter" },
    s("svg", { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img", "aria-label": t("traces.durations"), "data-testid": "scatter" },
      marks.map((each) => [
        s("line", { x1: SIZE.left, x2: SIZE.width - SIZE.right, y1: y(10 ** each), y2: y(10 ** each) }),
        s("text", { x: SIZE.left - 8, y: y(10 ** each) + 4, "text-anchor": "end" }, duration(10 ** each / 1e6)),
      ]),
      [first, (first + last) / 2, last].map((each, i) => s("text", { x: x(each), y: SIZE.height - 4, "text-anchor": ["start", "middle", "end"][i] }, clock(each / 1e6))),
      traces.map((each) => dot(each, x(each.start_us), y(each.duration_us)))));
}

function dot(each, x, y) {
  const mark = each.errors
    ? s("rect", { class: "dot failed", x: x - 4.5, y: y - 4.5, width: 9, height: 9 })
    : s("circle", { class: "dot", cx: x, cy: y, r: 4.5 });
  return s("a", { href: path("traces", each.trace_id), onclick: (event) => (event.preventDefault(), go(path("traces", each.trace_id))) },
    mark, s("title", null, `${shortOf(each.operation)} ${duration(each.duration_us / 1e6)} ${each.models.join(" ")}`));
}

function bounds(values) {
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.ceil(Math.log10(Math.max(...values) * 1.001));
  return [low, Math.max(low + 1, high)];
}
