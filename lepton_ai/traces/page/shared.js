// What both pages use: fetching, durations, service colours, and building elements from text only (never from markup).

export function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== "") made.textContent = text;
  return made;
}

export async function ask(path) {
  const response = await fetch(path, { headers: { Accept: "application/json" } });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.errors?.[0]?.msg ?? `HTTP ${response.status}`);
  return answer.data;
}

export function duration(us) {
  if (us < 1000) return `${us} µs`;
  if (us < 1e6) return `${trimmed(us / 1000)} ms`;
  if (us < 60e6) return `${trimmed(us / 1e6)} s`;
  const minutes = Math.floor(us / 60e6);
  return `${minutes} min ${Math.round((us - minutes * 60e6) / 1e6)} s`;
}

function trimmed(value) {
  return value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0);
}

// The method with its service, without the package: "InferenceService/Predict".
export function short(operation) {
  return operation.replace(/^(?:[\w-]+\.)+(?=[\w-]+\/)/, "") || "(no name)";
}

// Hues far apart from one another and from the red of errors; a service keeps its hue on every page.
const HUES = [232, 28, 168, 286, 200, 52, 322, 96];
const KNOWN = { client: 200, inference: 232, preprocess: 168, triton: 92, registry: 28, health: 286 };

export function hue(service) {
  if (Object.hasOwn(KNOWN, service)) return KNOWN[service];
  let hash = 0;
  for (const letter of service) hash = (hash * 31 + letter.codePointAt(0)) >>> 0;
  return HUES[hash % HUES.length];
}

export function chip(service) {
  const made = element("span", "chip");
  const dot = element("span", "dot");
  dot.style.setProperty("--hue", hue(service));
  made.append(dot, element("span", "", service));
  return made;
}

export function tell(text, bad = false) {
  const message = document.getElementById("message");
  message.textContent = text;
  message.classList.toggle("bad", bad);
  message.hidden = text === "";
}

export function openById() {
  document.getElementById("find").addEventListener("submit", (event) => {
    event.preventDefault();
    const id = document.getElementById("trace-id").value.trim().toLowerCase();
    if (/^[0-9a-f]{1,32}$/.test(id)) location.href = `/trace/${id}`;
    else tell("A trace id is 1 to 32 hexadecimal digits.", true);
  });
}
