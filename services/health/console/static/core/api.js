// Questions to the service. The token lives in this tab only and is sent with actions and with questions that need it.

const TOKEN = "lepton.token";

export class Refused extends Error {
  constructor(status, error) {
    super(error?.message || `HTTP ${status}`);
    this.status = status;
    this.reason = error?.reason || "";
    this.fix = error?.fix || "";
    this.code = error?.code || "";
  }
}

export const token = {
  get: () => sessionStorage.getItem(TOKEN) || "",
  set: (value) => (value ? sessionStorage.setItem(TOKEN, value) : sessionStorage.removeItem(TOKEN)),
};

/** Ask an RPC that only reads: read("RegistryService", "ListModels", {summary: true}). */
export function read(service, method, request = {}, signal) {
  const query = encodeURIComponent(JSON.stringify(request));
  return get(`/api/rpc/${service}/${method}?request=${query}`, signal);
}

/** Call an RPC that changes something; needs the token. */
export function act(service, method, request) {
  return fetchJson(`/api/rpc/${service}/${method}`, {
    method: "POST",
    body: JSON.stringify(request),
    headers: { "Content-Type": "application/json", ...proof() },
  });
}

export const get = (path, signal) => fetchJson(path, { signal, headers: proof() });

/** Whose token this is; raises Refused when it is nobody's. */
export const identify = (value) => fetchJson("/api/who", { headers: { Authorization: `Bearer ${value}` } });

function proof() {
  return token.get() ? { Authorization: `Bearer ${token.get()}` } : {};
}

async function fetchJson(path, options) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { reason: "NOT_REACHED", message: "" });
  }
  let document;
  try {
    document = await response.json();
  } catch {
    throw new Refused(response.status, null);
  }
  if (!response.ok) throw new Refused(response.status, document.error);
  return document;
}
