// Who may: keys and one-time links.

import { at, get, send } from "/page/api.js";
import { ask, h, mood, table } from "/page/dom.js";
import { time } from "/page/time.js";

export const title = () => "Who may";
export const kinds = ["audit"];

export const load = () => get("/keys");

export function show({ items }, context) {
  return h("div", null,
    table("Keys; a key itself is shown once, when it is made", ["Name", "Role", "Made", "By", ""], items.map((one) => [
      one.name, one.role, time(one.created_ms), one.created_by,
      one.revoked_ms ? mood("revoked") : h("button", { class: "grave", type: "button", "aria-label": `Revoke the key of ${one.name}`, onclick: () => revoke(one, context) }, "Revoke …")])),
    h("h2", null, "Let somebody in"),
    h("form", { class: "row", onsubmit: (event) => make(event, context) },
      h("label", { for: "name" }, "Name", h("input", { id: "name", name: "name", required: true })),
      h("label", { for: "role" }, "Role", h("select", { id: "role", name: "role" }, ["viewer", "operator", "approver", "admin"].map((role) => h("option", { value: role }, role)))),
      h("button", { class: "main", type: "submit", name: "how", value: "invite" }, "Make a link for a person"),
      h("button", { type: "submit", name: "how", value: "key" }, "Make a key for a program")));
}

async function make(event, context) {
  event.preventDefault();
  const form = event.currentTarget;
  const link = event.submitter.value === "invite";
  const body = { name: form.elements.name.value, role: form.elements.role.value };
  const answer = await context.act(() => send("POST", link ? "/keys/invitations" : "/keys", body), "Made");
  if (answer) await ask(link ? "A link that works once, for a day" : "The key, shown this once", { confirm: "I have put it away", text: link ? location.origin + answer.link : answer.key });
}

async function revoke(one, context) {
  if (await ask(`Revoke the key of ${one.name}`, { confirm: "Revoke", grave: true })) await context.act(() => send("DELETE", at("keys", one.key_id)), "Revoked");
}
