// The list of recent traces: filter by service, errors in red, one bar a trace, kept up to date while "live" is ticked.

import { ask, chip, duration, element, openById, short, tell } from "./shared.js";

const LIMIT = 100;
const LONG = 20; // times the median; longer bars run out of the picture, so that the others can be told apart
const REFRESH_MS = 3000;
const MODELS = 2; // named in a line

const service = document.getElementById("service");
const onlyErrors = document.getElementById("errors");
const live = document.getElementById("live");
const table = document.getElementById("traces");
let shown = "";

function started(us) {
  const time = new Date(us / 1000);
  const clock = time.toLocaleTimeString([], { hour12: false });
  return time.toDateString() === new Date().toDateString() ? clock : `${time.toLocaleDateString()} ${clock}`;
}

function line(trace, longest) {
  const row = element("tr", trace.errors ? "failed" : "");
  const href = `/trace/${trace.trace_id}`;
  const name = element("td", "name");
  const link = element("a", "", `${trace.service}: ${short(trace.operation)}`);
  link.href = href;
  link.title = trace.operation;
  const about = element("div", "about");
  if (trace.errors) about.append(element("span", "badge", `${trace.errors} failed`));
  if (trace.left) about.append(element("span", "extra", "caller left"));
  about.append(...trace.models.slice(0, MODELS).map((model) => element("span", "model", model)));
  if (trace.models.length > MODELS) about.append(element("span", "model", `and ${trace.models.length - MODELS} more`));
  about.append(element("small", "", trace.trace_id));
  name.append(link, about);
  const services = element("td", "services");
  const chips = element("div", "chips");
  chips.append(...trace.services.map(chip));
  services.append(chips);
  const spans = element("td", "number spans", String(trace.spans));
  const length = element("td", "length");
  const track = element("div", "track");
  const bar = element("i", trace.duration_us > longest ? "cut" : "");
  bar.style.width = `${Math.min(100, (100 * trace.duration_us) / Math.max(longest, 1))}%`;
  track.append(bar);
  length.append(track);
  row.append(element("td", "time", started(trace.start_us)), name, services, spans);
  row.append(element("td", "number", duration(trace.duration_us)), length);
  row.addEventListener("click", (event) => {
    if (!event.target.closest("a") && !getSelection().toString()) location.href = href;
  });
  return row;
}

// What a whole bar stands for: the longest trace, but neither a watch that lasted until its caller left nor a giant.
function scale(traces) {
  const stayed = traces.filter((trace) => !trace.left);
  const durations = (stayed.length ? stayed : traces).map((trace) => trace.duration_us).sort((a, b) => a - b);
  if (!durations.length) return 0;
  return Math.min(durations.at(-1), LONG * durations[Math.floor(durations.length / 2)]);
}

function draw(traces) {
  const wanted = onlyErrors.checked ? traces.filter((trace) => trace.errors) : traces;
  const longest = scale(wanted);
  table.tBodies[0].replaceChildren(...wanted.map((trace) => line(trace, longest)));
  table.hidden = wanted.length === 0;
  document.getElementById("count").textContent = wanted.length ? `newest ${wanted.length}` : "";
  tell(wanted.length ? "" : "No traces yet. Make a request that is sampled, for example lepton predict … --trace.");
}

async function refresh() {
  const query = new URLSearchParams({ service: service.value, limit: LIMIT });
  try {
    const [names, traces] = await Promise.all([ask("/api/services"), ask(`/api/lepton/recent?${query}`)]);
    const state = JSON.stringify([names, traces, onlyErrors.checked]);
    if (state === shown) return; // leave the selection and the focus alone
    shown = state;
    offer(names);
    draw(traces);
  } catch (error) {
    tell(`The trace store does not answer: ${error.message}`, true);
  }
}

function offer(names) {
  const chosen = service.value;
  const options = ["", ...names].map((name) => new Option(name || "all", name, false, name === chosen));
  service.replaceChildren(...options);
}

function changed() {
  const query = new URLSearchParams(service.value ? { service: service.value } : {});
  history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
  refresh();
}

openById();
const asked = new URLSearchParams(location.search).get("service") ?? "";
if (asked) service.add(new Option(asked, asked, true, true));
service.addEventListener("change", changed);
onlyErrors.addEventListener("change", refresh);
setInterval(() => live.checked && !document.hidden && refresh(), REFRESH_MS);
refresh();
