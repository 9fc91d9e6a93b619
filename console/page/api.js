// The API, with its problems as errors.

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? `the console answered ${status}`);
    this.status = status;
    this.hint = body.hint ?? "";
  }
}

export async function get(path, params) {
  const query = params ? `?${new URLSearchParams(Object.entries(params).filter(([, value]) => value !== ""))}` : "";
  return answered(await reach(path + query));
}

export async function send(method, path, body, headers = {}) {
  const every = { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID?.() ?? String(Math.random()) };
  return answered(await reach(path, { method, headers: { ...every, ...headers }, body: JSON.stringify(body ?? {}) }));
}

export const at = (...parts) => `/${parts.map(encodeURIComponent).join("/")}`;

async function reach(path, how) {
  try {
    return await fetch(path, how);
  } catch {
    throw new Problem(0, { detail: "the console cannot be reached", hint: "this page tries again by itself" });
  }
}

async function answered(response) {
  if (response.status === 204) return null;
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Problem(response.status, body);
  return body;
}
