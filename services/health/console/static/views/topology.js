// Who runs, who calls whom, how often, how fast, with which errors: as it is now.

import { get } from "../core/api.js";
import { h, s } from "../core/dom.js";
import { clock, count, duration, percent, rate } from "../core/format.js";
import { t, word } from "../core/i18n.js";
import { card, empty, fault, paged, status, table } from "../core/parts.js";
import { say } from "../core/sentences.js";
import { explore } from "../parts/panels.js";

const COLUMNS = { client: 0, health: 0, inference: 1, preprocess: 2, triton: 2, registry: 2 };
const BOX = { width: 196, height: 98, gap_x: 158, gap_y: 42 };
const DOTS = 20;

export default {
  place: "topology",
  path: "/topology",
  title: () => t("place.topology"),
  every_s: 3,
  load: (params, query, signal) => get("/api/edges", signal),
  render({ live, data, error, memory }) {
    const services = live.status?.services || [];
    const edges = edgesOf(data);
    return [
      h("header", { class: "title" }, h("h1", null, t("place.topology")), h("p", { class: "lead" }, t("topology.lead"))),
      card(t("topology.picture"), { key: "picture", about: t("topology.counted") },
        h("div", { class: "topology" }, picture(services, edges.filter(leadsOn), live))),
      error && error.status !== 503 && fault(error),
      card(t("topology.calls"), { key: "calls", about: data?.traces ? t("topology.from", { n: data.traces, from: clock(data.from_us / 1e6), to: clock(data.to_us / 1e6) }) : null }, calls(edges, error, data?.expressions || {})),
      card(t("topology.replicas"), { key: "replicas", about: count(services.flatMap((each) => each.replicas).length) }, replicas(services, memory)),
    ];
  },
};

/** Calls that were counted or seen in traces, and those that are known of and idle. */
function edgesOf(data) {
  if (!data) return [];
  const names = new Set(data.edges.map((each) => `${each.caller} ${each.callee}`));
  const idle = data.known.filter(([caller, callee]) => !names.has(`${caller} ${callee}`)).map(([caller, callee]) => ({ caller, callee, rate: 0 }));
  return [...data.edges, ...idle];
}

/** Those that lead on: what everybody asks and tells health would only cross the picture. */
const leadsOn = ({ caller, callee, seen_in: seen }) => seen !== "counts" || (COLUMNS[caller] ?? 3) < (COLUMNS[callee] ?? 3);

function picture(services, edges, live) {
  const names = [...new Set([...edges.flatMap((each) => [each.caller, each.callee]), ...services.map((each) => each.name)])];
  const columns = [[], [], [], []];
  for (const name of names.sort(byKnownOrder)) columns[COLUMNS[name] ?? 3].push(name);
  const rows = Math.max(...columns.map((each) => each.length), 1);
  const height = rows * (BOX.height + BOX.gap_y);
  const places = {};
  columns.forEach((column, x) => column.forEach((name, y) => {
    const free = height / column.length;
    places[name] = { x: x * (BOX.width + BOX.gap_x) + 1, y: y * free + (free - BOX.height) / 2 };
  }));
  const used = columns.findLastIndex((each) => each.length) + 1;
  const width = Math.max(1, used) * BOX.width + Math.max(0, used - 1) * BOX.gap_x + 2;
  return s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": t("topology.picture"), "data-testid": "topology" },
    s("defs", null, arrow("arrow", "--s1"), arrow("arrow-idle", "--line-strong"), arrow("arrow-failing", "--bad-fill")),
    edges.map((each) => edge(each, places)),
    Object.entries(places).map(([name, place]) => node(name, place, services.find((each) => each.name === name), figures(live, name))));
}

const byKnownOrder = (one, other) => {
  const order = ["client", "inference", "preprocess", "triton", "registry", "health"];
  return (order.indexOf(one) + 99) % 99 - ((order.indexOf(other) + 99) % 99) || one.localeCompare(other);
};

const arrow = (id, tone) =>
  s("marker", { id, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse" }, s("path", { d: "M0 0.6 7.4 4 0 7.4Z", fill: `var(${tone})` }));

const figures = (live, name) => (live.kpis?.rows?.service || []).find((each) => each.labels.service === name)?.numbers;

function node(name, { x, y }, service, numbers) {
  const replicas = service?.replicas || [];
  const well = replicas.filter((each) => each.condition === "healthy").length;
  return s("g", { class: "node", transform: `translate(${x} ${y})`, "data-node": name },
    s("rect", { class: "box", width: BOX.width, height: BOX.height, rx: 10 }),
    service && s("svg", { x: 16, y: 17, width: 12, height: 12, viewBox: "0 0 12 12", class: service.condition }, dotShape(service.condition)),
    s("text", { x: service ? 36 : 16, y: 28 }, name),
    s("text", { x: 16, y: 50, class: "soft" }, service ? t("topology.answering", { n: replicas.length, well, all: replicas.length }) : t(`topology.${name === "client" ? "callers" : "unwatched"}`)),
    numbers?.rate !== undefined && s("text", { x: 16, y: 68, class: "soft" }, t("topology.figures", { rate: rate(numbers.rate), p99: duration(numbers.p99) })),
    replicas.slice(0, DOTS).map((each, i) => s("svg", { x: 16 + (i % DOTS) * 7.2, y: 80, width: 6, height: 6, viewBox: "0 0 12 12", class: each.condition }, dotShape(each.condition), s("title", null, each.address))),
    replicas.length > DOTS && s("text", { x: BOX.width - 12, y: 87, class: "soft", "text-anchor": "end" }, `+${replicas.length - DOTS}`));
}

const dotShape = (condition) => ({
  healthy: s("circle", { cx: 6, cy: 6, r: 5.5 }),
  degraded: s("path", { d: "M6 0.5 11.8 11.5H0.2Z" }),
  unhealthy: s("path", { d: "M0.5 0.5h11v11h-11Z" }),
})[condition] || s("path", { d: "M6 0 12 6 6 12 0 6Z" });

function edge(each, places) {
  const [from, to] = [places[each.caller], places[each.callee]];
  if (!from || !to) return null;
  const sameColumn = Math.abs(from.x - to.x) < 1;
  const start = { x: from.x + BOX.width, y: from.y + BOX.height / 2 + (to.y - from.y) * 0.06 };
  const end = sameColumn ? { x: to.x + BOX.width, y: to.y + BOX.height / 2 } : { x: to.x, y: to.y + BOX.height / 2 + (from.y - to.y) * 0.06 };
  const bend = sameColumn ? 70 : (end.x - start.x) / 2;
  const kind = !each.rate ? "idle" : each.failed >= 0.05 ? "failing" : "";
  const marker = `url(#arrow${kind && `-${kind}`})`;
  const [cx, cy] = [(start.x + end.x) / 2 + (sameColumn ? 52 : 0), (start.y + end.y) / 2];
  const words = each.rate ? [`${rate(each.rate)} · ${duration(each.p50_us / 1e6)}`, each.failed >= 0.0005 ? t("topology.failing", { share: percent(each.failed) }) : null].filter(Boolean) : [];
  return s("g", { class: `edge ${kind}`, "data-edge": `${each.caller} ${each.callee}` },
    s("path", { d: `M${start.x} ${start.y}C${start.x + bend} ${start.y} ${end.x + (sameColumn ? bend : -bend)} ${end.y} ${end.x - (sameColumn ? -2 : 2)} ${end.y}`, "marker-end": marker }),
    words.length > 0 && s("rect", { x: cx - 62, y: cy - 10 * words.length, width: 124, height: 18 * words.length, rx: 4 }),
    words.map((line, i) => s("text", { x: cx, y: cy + 3 + 15 * i - 7 * (words.length - 1) }, line)));
}

/** The heads of figures lead to what they are made of. */
function calls(edges, error, made) {
  const head = (words, figure) => (made[figure] ? h("a", { href: explore(made[figure]) }, words) : words);
  if (!edges.some((each) => each.rate)) {
    return error ? fault(error) : empty(t("topology.no_calls"), t("topology.no_calls_text"));
  }
  return table([
    { head: t("topology.caller"), cell: (row) => row.caller },
    { head: t("topology.callee"), cell: (row) => row.callee },
    { head: head(t("rate"), "rate"), class: "r", title: t("topology.rate_title"), cell: (row) => rate(row.rate || null) },
    { head: head(t("errors"), "failing"), class: "r", cell: (row) => (row.rate ? percent(row.failed) : "–") },
    { head: head("p50", "p50_s"), class: "r", cell: (row) => duration(row.p50_us / 1e6) },
    { head: head("p95", "p95_s"), class: "r", cell: (row) => duration(row.p95_us / 1e6) },
    { head: t("topology.seen_in"), cell: (row) => (row.seen_in ? word("seen_in", row.seen_in) : "–") },
    { head: "", class: "r", cell: (row) => (row.rate ? h("a", { href: `/traces?service=${encodeURIComponent(row.callee)}` }, t("traces.show")) : null) },
  ], edges, { key: (row) => `${row.caller} ${row.callee}`, label: t("topology.calls") });
}

function replicas(services, memory) {
  const rows = services.flatMap((service) => service.replicas.map((each) => ({ ...each, service: service.name })));
  if (!rows.length) return empty(t("topology.no_replicas"), null);
  const order = { unhealthy: 0, degraded: 1, healthy: 2 };
  rows.sort((one, other) => order[one.condition] - order[other.condition]);
  return paged(rows, 50, memory("replicas"), (shown) => table([
    { head: t("service"), cell: (row) => row.service },
    { head: t("address"), cell: (row) => h("code", null, row.address) },
    { head: t("condition"), cell: (row) => status(row.condition) },
    { head: t("message"), cell: (row) => h("span", { class: "wrap soft" }, say(row.message) || "–") },
  ], shown, { key: (row) => `${row.service} ${row.address}` }));
}
