// Policies: how drift is judged; checked, issued, and tried on the past.

import { at, get, send } from "/page/api.js";
import { empty, h, mood, table } from "/page/dom.js";
import { since } from "/page/time.js";

export const title = () => "Policies";
export const kinds = ["policy"];

// What was taken up to be changed; what somebody else has issued since is not issued over.
let taken = null;

export async function load() {
  const policies = await get("/policies");
  return { policies, backtests: policies.can_backtest ? await get("/backtests") : null };
}

export function show({ policies, backtests }, context) {
  const mayIssue = policies.can_change && context.may("approver");
  return h("div", null,
    policies.items.length
      ? [table("Policies", ["Policy", "#Revision", "Issued", "By", ""], policies.items.map((one) => [
          one.policy_id, one.revision, since(one.issued_ms), one.issued_by, one.withdrawn ? mood("withdrawn") : ""])),
        policies.items.map((one) => said(one, mayIssue))]
      : empty("No policy was issued: the workers judge by their defaults."),
    h("h2", null, "Try a policy"),
    h("form", { onsubmit: (event) => act(event, context) },
      h("label", { for: "document" }, "Policy, TOML", h("textarea", { id: "document", name: "document", spellcheck: "false", placeholder: "[floors]\npsi = 0.06" })),
      h("div", { class: "row" },
        h("label", { for: "policy-id" }, "Name", h("input", { id: "policy-id", name: "name", placeholder: "default" })),
        h("label", { for: "policy-why" }, "Why", h("input", { id: "policy-why", name: "why" })),
        h("label", { for: "hours" }, "Hours of the past", h("input", { id: "hours", name: "hours", type: "number", min: "1", max: "1440", placeholder: "24" }))),
      h("div", { class: "row" },
        h("button", { type: "submit", name: "how", value: "check" }, "Check"),
        backtests && context.may("operator") ? h("button", { type: "submit", name: "how", value: "backtest" }, "Backtest") : null,
        mayIssue ? h("button", { class: "main", type: "submit", name: "how", value: "issue" }, "Issue") : null)),
    backtests ? tried(backtests.items) : h("p", { class: "small quiet" }, "Backtests are not installed with this console."));
}

function said(one, mayIssue) {
  return h("details", null, h("summary", null, `What ${one.policy_id} says`), h("pre", { class: "small", tabindex: "0" }, one.document),
    mayIssue ? h("button", { type: "button", onclick: () => take(one) }, `Change ${one.policy_id}`) : null);
}

function take(policy) {
  taken = policy;
  const { elements } = document.getElementById("document").form;
  elements.document.value = policy.document;
  elements.name.value = policy.policy_id;
  elements.document.focus();
}

function tried(items) {
  if (!items.length) return null;
  return h("section", null, h("h2", null, "Backtests"), table("Backtests, the newest first", ["Backtest", "State", "How far", "Policies", "Who", "Report"], items.map((one) => [
    one.backtest_id, mood(one.state), h("progress", { max: 1, value: one.progress ?? 0, "aria-label": "progress" }), (one.policies ?? []).join(", "), one.who,
    one.state === "done" ? h("a", { href: `${at("backtests", one.backtest_id)}/report` }, "Report") : one.error ?? ""])));
}

async function act(event, context) {
  event.preventDefault();
  const form = event.currentTarget;
  const body = { document: form.elements.document.value, why: form.elements.why.value };
  const name = form.elements.name.value || "default";
  const onlyAfter = taken?.policy_id === name ? { "If-Match": `"revision-${taken.revision}"` } : {};
  const ways = {
    check: [() => send("POST", "/policies/check", body), "The policy is valid"],
    issue: [() => send("PUT", at("policies", name), body, onlyAfter), (answer) => `Issued as revision ${answer.revision}`],
    backtest: [() => send("POST", "/backtests", { policies: { [name]: body.document }, hours: Number(form.elements.hours.value) || 24, why: body.why }), "The backtest runs"],
  };
  const answer = await context.act(...ways[event.submitter.value]);
  if (answer?.revision) taken = answer;
}
