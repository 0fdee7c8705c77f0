// Which view a path means, and going from one to another without loading the page again.

const routes = [];
let listener = () => {};

/** route("/models/:name", view); names match one part of the path. */
export function route(pattern, view) {
  const names = [];
  const source = pattern.replace(/:(\w+)/g, (_, name) => (names.push(name), "([^/]+)"));
  routes.push({ expression: new RegExp(`^${source}/?$`), names, view });
}

export function current() {
  const path = location.pathname;
  for (const { expression, names, view } of routes) {
    const found = expression.exec(path);
    if (found) {
      const values = found.slice(1).map((part) => decode(part));
      return { view, path, params: Object.fromEntries(names.map((name, i) => [name, values[i]])) };
    }
  }
  return { view: null, path, params: {} };
}

export const query = () => Object.fromEntries(new URLSearchParams(location.search));

export function onNavigate(callback) {
  listener = callback;
  window.addEventListener("popstate", () => listener());
  document.addEventListener("click", follow);
}

export function go(path) {
  if (path !== location.pathname + location.search) history.pushState(null, "", path);
  listener();
}

/** Change what is asked for in the address, in place. */
export function setQuery(values) {
  const wanted = new URLSearchParams({ ...query(), ...values });
  for (const [name, value] of [...wanted]) if (!value) wanted.delete(name);
  const text = wanted.toString();
  history.replaceState(null, "", location.pathname + (text ? `?${text}` : ""));
  listener();
}

export const path = (...parts) => "/" + parts.map(encodeURIComponent).join("/");

function follow(event) {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  if (link.target || link.origin !== location.origin || link.hash || link.pathname.startsWith("/form/")) return;
  event.preventDefault();
  go(link.pathname + link.search);
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
