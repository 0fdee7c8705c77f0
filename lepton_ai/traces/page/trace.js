// One trace as a waterfall. The rows come worked out from the server (tree order, depth, segments); this only draws them.

import { ask, chip, duration, element, hue, openById, short, tell } from "./shared.js";

const TICKS = 4;
const OPEN_AT_FIRST = 500; // rows; a longer trace starts folded below the second level, but for what leads to a failure
const LABEL_LEFT_FROM = 0.85; // a bar that ends beyond this part of the width has its duration on the left

const holder = document.getElementById("rows");
let rows = []; // { data, line elements, depth, folded }

function place(node, startUs, durationUs, totalUs) {
  const from = Math.min(Math.max(startUs / totalUs, 0), 1);
  const to = Math.min(Math.max((startUs + durationUs) / totalUs, from), 1);
  node.style.left = `${from * 100}%`;
  node.style.width = `${(to - from) * 100}%`;
  return [from, to];
}

function timeCell(startUs, durationUs, totalUs, barClass, note = "") {
  const cell = element("div", "time-cell");
  const bar = element("div", `bar ${barClass}${startUs + durationUs > totalUs ? " cut" : ""}`);
  const [from, to] = place(bar, startUs, durationUs, totalUs);
  const label = element("span", "duration", duration(durationUs) + note);
  if (to > LABEL_LEFT_FROM && from > 0.12) label.style.right = `${(1 - from) * 100}%`;
  else label.style.left = `${to * 100}%`;
  cell.append(element("div", "grid"), bar, label);
  return cell;
}

function marks(span, totalUs) {
  return span.events
    .filter((event) => event.timeUs >= span.startUs && event.timeUs <= span.startUs + span.durationUs)
    .map((event) => {
      const mark = element("i");
      mark.style.left = `${(100 * (event.timeUs - span.startUs)) / Math.max(span.durationUs, 1)}%`;
      mark.title = `${event.name} at ${duration(Math.max(event.timeUs, 0))}`;
      return mark;
    });
}

function nameCell(row) {
  const cell = element("div", "name-cell");
  const fold = element("button", "fold", row.children ? "▼" : "");
  fold.type = "button";
  fold.tabIndex = -1;
  fold.setAttribute("aria-hidden", "true");
  cell.append(fold);
  if (!row.span) {
    cell.append(element("span", "operation", `no parent: ${row.missingID} was not received`));
    return cell;
  }
  const dot = element("span", "dot");
  cell.append(dot, element("span", "service", row.span.service));
  const operation = element("span", "operation", short(row.span.operation));
  operation.title = row.span.operation;
  cell.append(operation);
  const batch = row.span.tags.find(([key]) => key === "lepton.batch.size");
  if (batch) cell.append(element("span", "extra", `batch of ${batch[1]}`));
  if (row.span.links.length) cell.append(element("span", "extra", `${row.span.links.length} linked`));
  if (row.span.left) cell.append(element("span", "extra", "caller left"));
  if (row.span.error) cell.append(element("span", "badge", "error"));
  return cell;
}

function partLine(part, totalUs) {
  const line = element("div", "part");
  const name = element("div", "name-cell");
  name.append(element("span", "", part.name));
  line.append(name, timeCell(part.startUs, part.durationUs, totalUs, part.name === "queue" ? "queue" : ""));
  return line;
}

function table(title, pairs) {
  const section = element("section");
  section.append(element("h2", "", title));
  const body = element("table");
  for (const [key, value] of pairs) {
    const line = element("tr");
    const head = element("th", "", key);
    head.scope = "row";
    line.append(head, element("td", "", typeof value === "string" ? value : JSON.stringify(value)));
    body.append(line);
  }
  section.append(body);
  return section;
}

function eventPairs(span) {
  return span.events.map((event) => {
    const sign = event.timeUs < span.startUs ? "−" : "+";
    const fields = event.fields.map(([key, value]) => `\n${key} = ${typeof value === "string" ? value : JSON.stringify(value)}`);
    return [event.name || "event", `${sign}${duration(Math.abs(event.timeUs - span.startUs))}${fields.join("")}`];
  });
}

function linkList(links) {
  const section = element("section");
  section.append(element("h2", "", "Linked spans"));
  const list = element("ul");
  for (const link of links) {
    const item = element("li");
    const anchor = element("a", "", `trace ${link.trace_id.slice(0, 16)}…, span ${link.span_id}`);
    anchor.href = `/trace/${encodeURIComponent(link.trace_id)}#${encodeURIComponent(link.span_id)}`;
    item.append(anchor);
    list.append(item);
  }
  section.append(list);
  return section;
}

function details(span) {
  const box = element("div", "details");
  const facts = [["service", span.service], ["span", span.operation], ["span id", span.spanID]];
  facts.push(["kind", span.kind || "unspecified"], ["starts at", duration(Math.max(span.startUs, 0))], ["takes", duration(span.durationUs)]);
  const section = table("Span", facts);
  section.append(...span.warnings.map((text) => element("p", "warning", text)));
  box.append(section);
  if (span.tags.length) box.append(table("Tags", span.tags));
  if (span.events.length) box.append(table("Events", eventPairs(span)));
  if (span.links.length) box.append(linkList(span.links));
  if (span.processTags.length) box.append(table("Process", span.processTags));
  return box;
}

function drawRow(data, index, totalUs) {
  const span = data.span;
  const node = element("div", `row${span?.error ? " failed" : ""}${span ? "" : " missing"}`);
  node.style.setProperty("--depth", data.depth);
  node.style.setProperty("--hue", span ? hue(span.service) : 220);
  node.setAttribute("role", "treeitem");
  node.setAttribute("aria-level", data.depth + 1);
  node.setAttribute("aria-label", span ? `${span.service} ${span.operation}, ${duration(span.durationUs)}${said(data)}` : `missing parent ${data.missingID}`);
  node.tabIndex = index === 0 ? 0 : -1;
  const line = element("div", "line");
  const name = nameCell(data);
  if (data.failedBelow) name.append(element("span", "badge below", `${data.failedBelow} failed below`));
  line.append(name);
  if (span) {
    const cell = timeCell(span.startUs, span.durationUs, totalUs, "");
    cell.querySelector(".bar").append(...marks(span, totalUs));
    line.append(cell);
  } else line.append(element("div", "time-cell"));
  node.append(line, ...data.segments.map((part) => partLine(part, totalUs)));
  const row = { data, node, folded: false };
  if (data.children) node.setAttribute("aria-expanded", "true");
  line.addEventListener("click", (event) => {
    focus(row);
    if (event.target.closest(".fold") && data.children) fold(row, !row.folded);
    else toggle(row);
  });
  return row;
}

function said(data) {
  const failures = data.failedBelow ? `, ${data.failedBelow} failed below` : "";
  return `${data.span.error ? ", error" : data.span.left ? ", caller left" : ""}${failures}`;
}

function toggle(row) {
  const open = row.node.querySelector(":scope > .details");
  if (open) open.remove();
  else if (row.data.span) row.node.querySelector(":scope > .line").after(details(row.data.span));
  row.node.classList.toggle("open", !open && row.data.span !== null);
}

function fold(row, folded) {
  row.folded = folded;
  refold();
}

function refold() {
  let hiddenBelow = Infinity; // rows deeper than this are inside a folded one
  for (const row of rows) {
    if (row.data.depth <= hiddenBelow) hiddenBelow = Infinity;
    row.node.hidden = row.data.depth > hiddenBelow;
    if (row.data.children) row.node.setAttribute("aria-expanded", String(!row.folded));
    if (row.folded && hiddenBelow === Infinity) hiddenBelow = row.data.depth;
  }
}

function focus(row) {
  for (const other of rows) other.node.tabIndex = -1;
  row.node.tabIndex = 0;
  row.node.focus();
}

function parentOf(index) {
  for (let at = index - 1; at >= 0; at--) if (rows[at].data.depth < rows[index].data.depth) return rows[at];
  return undefined;
}

function neighbour(index, step) {
  for (let at = index + step; at >= 0 && at < rows.length; at += step) if (!rows[at].node.hidden) return rows[at];
  return undefined;
}

function onKey(event) {
  const index = rows.findIndex((row) => row.node === event.target);
  if (index < 0) return;
  const row = rows[index];
  const canFold = row.data.children > 0;
  const actions = {
    ArrowDown: () => neighbour(index, 1),
    ArrowUp: () => neighbour(index, -1),
    Home: () => neighbour(-1, 1),
    End: () => neighbour(rows.length, -1),
    ArrowLeft: () => (canFold && !row.folded ? void fold(row, true) : parentOf(index)),
    ArrowRight: () => (canFold && row.folded ? void fold(row, false) : neighbour(index, 1)),
    Enter: () => void toggle(row),
    " ": () => void toggle(row),
  };
  if (!Object.hasOwn(actions, event.key)) return;
  event.preventDefault();
  const next = actions[event.key]();
  if (next) focus(next);
}

function drawTicks(totalUs) {
  const ticks = document.getElementById("ticks");
  for (let at = 0; at <= TICKS; at++) {
    const tick = element("span", "", duration(Math.round((totalUs * at) / TICKS)));
    tick.style.left = `${(100 * at) / TICKS}%`;
    ticks.append(tick);
  }
}

function modelsOf(trace) {
  const tags = trace.rows.filter((row) => row.span).map((row) => new Map(row.span.tags));
  const named = tags.filter((tag) => tag.has("lepton.model.name"));
  return [...new Set(named.map((tag) => [tag.get("lepton.model.name"), tag.get("lepton.model.version")].filter((part) => part !== undefined).join("@")))];
}

function drawSummary(trace) {
  const first = trace.rows.find((row) => row.span)?.span;
  const title = first ? `${first.service}: ${first.operation}` : trace.traceID;
  document.title = `${title} · Lepton traces`;
  document.getElementById("title").textContent = title;
  const facts = document.getElementById("facts");
  const fact = (label, value) => {
    const made = element("span", "", `${label} `);
    made.append(element("b", "", value));
    return made;
  };
  const id = element("span", "", "trace ");
  id.append(element("code", "", trace.traceID));
  facts.append(id, fact("started", new Date(trace.startUs / 1000).toLocaleString()), fact("took", duration(trace.durationUs)), fact("spans", String(trace.spans)));
  const models = modelsOf(trace);
  if (models.length) facts.append(fact(models.length > 1 ? "models" : "model", models.join(", ")));
  if (trace.errors) facts.append(element("span", "badge", `${trace.errors} failed`));
  document.getElementById("legend").append(...trace.services.map((name) => {
    const item = element("li");
    item.append(chip(name));
    return item;
  }));
  document.getElementById("json").href = `/api/traces/${trace.traceID}`;
}

function showTarget() {
  const wanted = decodeURIComponent(location.hash.slice(1));
  for (const row of rows) row.node.classList.toggle("target", row.data.span?.spanID === wanted);
  const row = rows.find((candidate) => candidate.data.span?.spanID === wanted);
  if (!row) return;
  for (let above = row; above; above = parentOf(rows.indexOf(above))) above.folded = false;
  refold();
  toggle(row);
  row.node.scrollIntoView({ block: "center" });
}

function draw(trace) {
  const totalUs = Math.max(trace.scaleUs, 1);
  drawSummary(trace);
  drawTicks(totalUs);
  rows = trace.rows.map((data, index) => drawRow(data, index, totalUs));
  if (rows.length > OPEN_AT_FIRST) for (const row of rows) row.folded = row.data.depth >= 1 && row.data.children > 0 && !row.data.failedBelow;
  holder.append(...rows.map((row) => row.node));
  refold();
  for (const id of ["summary", "waterfall", "hint"]) document.getElementById(id).hidden = false;
  showTarget();
}

function foldAll(folded) {
  for (const row of rows) row.folded = folded && row.data.children > 0;
  refold();
}

openById();
holder.addEventListener("keydown", onKey);
addEventListener("hashchange", showTarget);
document.getElementById("expand").addEventListener("click", () => foldAll(false));
document.getElementById("collapse").addEventListener("click", () => foldAll(true));
const id = decodeURIComponent(location.pathname.split("/").pop());
try {
  draw((await ask(`/api/lepton/waterfall/${encodeURIComponent(id)}`))[0]);
} catch (error) {
  tell(`${id}: ${error.message}. A trace arrives within seconds of its request, and leaves when newer ones need the room.`, true);
}
