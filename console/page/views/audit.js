// Who did what, and why.

import { get } from "/page/api.js";
import { empty, h, table } from "/page/dom.js";
import { time } from "/page/time.js";

export const title = () => "Audit";
export const kinds = ["audit"];

export const load = ({ query }) => get("/audit", { limit: 100, subject: query.subject ?? "", who: query.who ?? "", cursor: query.cursor ?? "" });

export function show(page, _context, { query }) {
  const go = (event) => {
    event.preventDefault();
    location.hash = `#/audit?${new URLSearchParams(new FormData(event.currentTarget))}`;
  };
  return h("div", null,
    h("form", { class: "row", onsubmit: go, role: "search" },
      h("label", { for: "subject" }, "About (such as rollout/ or alert/)", h("input", { id: "subject", name: "subject", value: query.subject ?? "" })),
      h("label", { for: "who" }, "Who", h("input", { id: "who", name: "who", value: query.who ?? "" })),
      h("button", { class: "main", type: "submit" }, "Show")),
    page.items.length
      ? table("The audit log, the newest first", ["When", "What", "About", "Who", "Why", "On what"], page.items.map((entry) => [
          time(entry.at_ms), entry.action, entry.subject, entry.who, entry.why,
          Object.entries(entry.evidence).slice(0, 4).map(([name, value]) => `${name} ${value}`.slice(0, 120)).join(", ")]))
      : empty("Nothing fits."),
    page.next ? h("p", null, h("a", { href: `#/audit?${new URLSearchParams({ ...query, cursor: page.next })}` }, "Older")) : null);
}
