// News of the fleet; whoever looks at something is called when it may have changed.

const RETRY_MS = 5000;
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
  const listen = () => {
    const mine = new EventSource(`/events?${query}`);
    source = mine;
    mine.onopen = () => standing("live");
    mine.onerror = () => {
      standing("waiting");
      // A stream that was refused, as while a proxy has nobody behind it, is not tried again by the browser.
      if (mine.readyState === EventSource.CLOSED) setTimeout(() => source === mine && listen(), RETRY_MS);
    };
    for (const kind of KINDS) mine.addEventListener(kind, () => note(kind));
    // Something was missed: everything is looked at anew.
    mine.addEventListener("reset", () => note("reset"));
  };
  listen();
}

export function stop() {
  source?.close();
  source = null;
}
