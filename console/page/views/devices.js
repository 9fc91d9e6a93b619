// All devices, page by page.

import { at, get } from "/page/api.js";
import { empty, h, mood, table } from "/page/dom.js";
import { since } from "/page/time.js";

export const title = () => "Devices";
export const kinds = ["device"];
const FILTERS = ["q", "state", "verdict", "model", "label", "sort", "cursor"];

export const load = ({ query }) => get("/devices", { limit: 50, ...Object.fromEntries(FILTERS.map((name) => [name, query[name] ?? ""])) });

export function show(page, _context, { query }) {
  const go = (event) => {
    event.preventDefault();
    const said = Object.fromEntries([...new FormData(event.currentTarget)].filter(([, value]) => value));
    location.hash = `#/devices?${new URLSearchParams(said)}`;
  };
  const choice = (name, label, options) =>
    h("label", { for: name }, label, h("select", { id: name, name }, [["", "any"], ...options.map((one) => [one, one.replaceAll("_", " ")])].map(([value, text]) =>
      h("option", { value, selected: value === (query[name] ?? "") }, text))));
  return h("div", null,
    h("form", { class: "row", onsubmit: go, role: "search" },
      h("label", { for: "q" }, "Name has", h("input", { id: "q", name: "q", value: query.q ?? "" })),
      h("label", { for: "label" }, "Label (name=value)", h("input", { id: "label", name: "label", value: query.label ?? "" })),
      h("label", { for: "model" }, "Model", h("input", { id: "model", name: "model", value: query.model ?? "" })),
      choice("state", "State", ["online", "offline", "registered", "revoked"]),
      choice("verdict", "Verdict", ["drift", "warning", "stable", "not_enough_data"]),
      h("label", { for: "sort" }, "Order", h("select", { id: "sort", name: "sort" },
        h("option", { value: "id", selected: query.sort !== "drift" }, "by name"), h("option", { value: "drift", selected: query.sort === "drift" }, "most drifted first"))),
      h("button", { class: "main", type: "submit" }, "Show")),
    page.items.length
      ? table(`${page.total} devices`, ["Device", "State", "Verdict", "#Largest PSI", "Model", "Labels", "Last seen"],
          page.items.map((row) => [
            h("a", { href: `#${at("device", row.device_id)}` }, row.device_id), mood(row.state), mood(row.verdict),
            row.scored_ms ? row.worst_psi.toFixed(2) : "–", row.safe_mode ? "safe mode" : row.model_id,
            Object.entries(row.labels).map(([name, value]) => `${name}=${value}`).join(", "), since(row.last_seen_ms),
          ]))
      : empty("No device fits.", "Take a filter away."),
    page.next ? h("p", null, h("a", { href: `#/devices?${new URLSearchParams({ ...query, cursor: page.next })}` }, "Next page")) : null);
}
