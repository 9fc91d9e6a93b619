// News of the fleet; whoever looks at something is called when it may have changed.

const KINDS = ["alert", "rollout", "device", "model", "policy", "training", "audit", "scores"];
let source = null;

// `changed` is called with the kinds of what changed, at most once a second; `standing` with "live" or "waiting".
export function follow(kinds, device, changed, standing) {
  source?.close();
  const waiting = new Set();
  let timer = null;
  const note = (kind) => {
    waiting.add(kind);
    timer ??= setTimeout(() => {
      timer = null;
      changed(new Set(waiting));
      waiting.clear();
    }, 1000);
  };
  const query = new URLSearchParams({ kinds: kinds.join(","), ...(device ? { device } : {}) });
  source = new EventSource(`/events?${query}`);
  source.onopen = () => standing("live");
  source.onerror = () => standing("waiting");
  for (const kind of KINDS) source.addEventListener(kind, () => note(kind));
  // Something was missed: everything is looked at anew.
  source.addEventListener("reset", () => note("reset"));
}

export function stop() {
  source?.close();
  source = null;
}
