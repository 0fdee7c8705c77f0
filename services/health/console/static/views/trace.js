// One trace: where its time went, from the caller down to Triton.

import { get } from "../core/api.js";
import { h, s } from "../core/dom.js";
import { clock, count, dateTime, duration } from "../core/format.js";
import { t } from "../core/i18n.js";
import { card, chip, command, empty, facts, fault, pairs, paged } from "../core/parts.js";

export default {
  place: "traces",
  path: "/traces",
  title: ({ id }) => t("trace.title", { id: id.slice(0, 8) }),
  load: ({ id }, query, signal) => get(`/api/traces/${encodeURIComponent(id)}`, signal),
  render({ params, data, error, memory }) {
    const crumbs = h("p", { class: "crumbs" }, h("a", { href: "/traces" }, t("place.traces")));
    if (error?.status === 404) return [crumbs, empty(t("trace.none", { id: params.id }), t("trace.none_text"))];
    if (error) return [crumbs, fault(error)];
    if (!data) return [crumbs, h("div", { class: "skeleton" })];
    const root = data.rows.find((row) => row.span)?.span;
    return [
      h("header", { class: "stack" }, crumbs,
        h("div", { class: "title" }, h("h1", null, root?.operation || t("trace.title", { id: params.id.slice(0, 8) })), data.errors > 0 && chip(t("trace.errors", { n: data.errors }), "bad")),
        h("p", { class: "mono faint" }, data.traceID)),
      facts([t("duration"), duration(data.durationUs / 1e6)], [t("traces.spans"), count(data.spans)], [t("trace.services"), data.services.join(", ")], [t("trace.began"), clock(data.startUs / 1e6), dateTime(data.startUs / 1e6)]),
      card(t("trace.where"), { key: "waterfall", about: t("trace.where_about") }, waterfall(data, memory)),
      h("div", { class: "line" }, command(`lepton trace ${data.traceID}`), h("a", { href: `/logs?trace=${encodeURIComponent(data.traceID)}` }, t("trace.logs"))),
    ];
  },
};

function waterfall(data, memory) {
  const folded = memory("folded");
  const hidden = hiddenRows(data.rows, folded.get() || new Set());
  const rows = data.rows.map((row, index) => ({ row, index })).filter(({ index }) => !hidden.has(index));
  return paged(rows, 200, memory("rows"), (shown) => h("div", { class: "waterfall" }, shown.map(({ row, index }) => line(row, index, data, memory))));
}

function hiddenRows(rows, folded) {
  const hidden = new Set();
  rows.forEach((row, i) => {
    if (!folded.has(i)) return;
    for (let j = i + 1; j < rows.length && rows[j].depth > row.depth; j++) hidden.add(j);
  });
  return hidden;
}

function line(row, index, data, memory) {
  if (!row.span) return h("div", { class: "span", "data-key": `row ${index}` }, h("span", { class: "faint inset" }, t("trace.missing", { id: row.missingID })));
  const open = memory(`open ${index}`);
  const span = row.span;
  return h("div", { class: "span", "data-key": `row ${index}` },
    h("button", { type: "button", "aria-expanded": String(Boolean(open.get())), "data-row": true, onclick: () => open.set(!open.get()), onkeydown: (event) => fold(event, index, row, memory) },
      indent(row.depth),
      h("span", { class: `operation ${span.error ? "failed" : ""}`, title: span.operation }, h("span", { class: "service" }, span.service, " "), span.operation)),
    h("div", { class: "bar" }, bar(span, row.segments, data)),
    h("span", { class: "num soft" }, duration(span.durationUs / 1e6)),
    open.get() && detail(span));
}

/** Left and right fold and unfold, as in trees of files. */
function fold(event, index, row, memory) {
  if (!row.children || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
  event.preventDefault();
  const folded = new Set(memory("folded").get() || []);
  if (event.key === "ArrowLeft") folded.add(index);
  else folded.delete(index);
  memory("folded").set(folded);
}

const indent = (depth) => s("svg", { class: "indent", width: Math.min(depth, 12) * 14, height: 8, "aria-hidden": "true" });

/** In percent of the width, so that what is written is not stretched with the bars. */
function bar(span, segments, data) {
  const part = (us) => (100 * us) / Math.max(1, data.scaleUs);
  const x = Math.min(100, part(span.startUs));
  const width = Math.min(100 - x, part(span.durationUs));
  const tone = span.error ? "var(--bad-fill)" : `var(--s${(data.services.indexOf(span.service) % 6) + 1})`;
  return s("svg", { height: 22, role: "img", "aria-label": `${span.operation} ${duration(span.durationUs / 1e6)}` },
    s("rect", { x: `${x}%`, y: 6, width: `${Math.max(0.2, width)}%`, height: 10, rx: 2, fill: tone, opacity: segments.length ? 0.45 : 0.9 }),
    segments.map((each) => s("rect", { x: `${part(each.startUs)}%`, y: 6, width: `${Math.max(0.15, part(each.durationUs))}%`, height: 10, fill: tone }, s("title", null, `${each.name} ${duration(each.durationUs / 1e6)}`))));
}

function detail(span) {
  const tags = Object.fromEntries(span.tags.map(([name, value]) => [name, String(value)]));
  return h("div", { class: "detail stack" },
    pairs({ ...tags, ...Object.fromEntries(span.processTags.map(([name, value]) => [name, String(value)])) }),
    span.events.map((event) => h("div", null, h("b", null, event.name), " ", h("span", { class: "faint num" }, duration(event.timeUs / 1e6)), h("pre", null, event.fields.map(([name, value]) => `${name}: ${value}`).join("\n")))),
    span.links.map((each) => h("p", null, t("trace.link"), " ", h("a", { href: `/traces/${each.trace_id}`, class: "mono" }, each.trace_id))),
    span.warnings.map((each) => h("p", { class: "degraded" }, each)));
}
