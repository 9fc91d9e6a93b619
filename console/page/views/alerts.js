// The inbox: what drifted or fares badly, gravest first; somebody cares for it, or it is silenced.

import { at, get, send } from "/page/api.js";
import { ask, empty, h, mood, table, tell } from "/page/dom.js";
import { since, time } from "/page/time.js";

export const title = () => "Alerts";
export const kinds = ["alert", "audit"];

export async function load({ query }) {
  const [alerts, silences] = await Promise.all([get("/alerts", { state: query.state ?? "", limit: 100, cursor: query.cursor ?? "" }), get("/silences")]);
  return { alerts, silences: silences.items };
}

export function show({ alerts, silences }, context, { query }) {
  const state = query.state ?? "";
  return h("div", null,
    h("div", { class: "row" }, h("label", { for: "state" }, "Show",
      h("select", { id: "state", onchange: (event) => (location.hash = `#/alerts?state=${event.target.value}`) },
        [["", "all that are open"], ["firing", "firing"], ["pending", "pending"], ["acknowledged", "acknowledged"], ["resolved", "resolved"]].map(([value, text]) =>
          h("option", { value, selected: value === state }, text))))),
    alerts.items.length ? [h("p", { class: "small quiet" }, alerts.total === 1 ? "1 alert" : `${alerts.total} alerts`), alerts.items.map((alert) => card(alert, context))]
      : empty(state === "resolved" ? "Nothing was resolved lately." : "All quiet: no alert is open."),
    alerts.next ? h("p", null, h("a", { href: `#/alerts?${new URLSearchParams({ ...query, cursor: alerts.next })}` }, "Next page")) : null,
    silences.length ? [h("h2", null, "Silences"),
      table("What nobody is notified of", ["What", "Until", "Who", "Why", ""], silences.map((one) => [
        matched(one), time(one.until_ms), one.who, one.why,
        context.may("operator") ? h("button", { type: "button", "aria-label": `End the silence of ${matched(one)}`, onclick: () => endSilence(one, context) }, "End …") : null]))] : null);
}

const matched = (silence) => Object.entries(silence.matchers).map(([name, pattern]) => `${name} = ${pattern}`).join(", ");

export function card(alert, context, onItsPage = false) {
  const scores = Object.entries(alert.evidence.scores);
  return h("article", { class: "card" },
    h("h2", null, alert.summary || alert.alert_id),
    h("p", null, mood(alert.severity), " ", mood(alert.state), " ", alert.silenced ? mood("silenced") : null, " ", alert.escalated ? mood("escalated") : null,
      h("span", { class: "small quiet" }, " opened ", time(alert.opened_ms), alert.subject_is_cohort ? " by its devices' clocks, last news " : " by its device's clock, last news ", since(alert.told_ms), alert.by ? `, by ${alert.by}` : "")),
    h("details", null, h("summary", null, "Evidence"),
      h("p", { class: "small" }, `${alert.evidence.samples} samples; `, scores.map(([name, value]) => `${name} ${value?.toPrecision(3)}`).join(", ")),
      alert.evidence.top_bins.length ? h("ul", { class: "small" }, alert.evidence.top_bins.map((one) =>
        h("li", null, `${one.bin}: ${(one.reference * 100).toFixed(0)} % then, ${(one.live * 100).toFixed(0)} % now`))) : null,
      alert.members.length ? h("p", { class: "small" }, `Devices: ${alert.members.join(", ")}`) : null,
      h("p", { class: "small quiet" }, `Model ${alert.model_id || "none"}, policy ${alert.policy_id}/${alert.policy_revision}`)),
    h("div", { class: "row" },
      alert.subject_is_cohort || onItsPage ? null : h("a", { class: "middle", href: `#${at("device", alert.subject)}` }, "Look at the device"),
      alert.state === "firing" && context.may("operator")
        ? h("button", { class: "main", type: "button", "aria-label": `Acknowledge: ${alert.summary}`, onclick: () => acknowledge(alert, context) }, "Acknowledge") : null,
      alert.state !== "resolved" && context.may("operator")
        ? h("button", { type: "button", "aria-label": `Silence: ${alert.summary}`, onclick: () => silence(alert, context) }, "Silence …") : null));
}

const acknowledge = (alert, context) => context.act(() => send("POST", `${at("alerts", alert.alert_id)}/acknowledge`, {}), "Acknowledged");

async function silence(alert, context) {
  const field = (name, label, value) => () => h("label", { for: `ask-${name}` }, label, h("input", { id: `ask-${name}`, name, value }));
  const said = await ask("Silence", {
    text: "Nobody is notified of what fits; * stands for anything.",
    fields: [field("subject", "Device", alert.subject), field("feature", "Feature", alert.feature), field("minutes", "Minutes", "120")],
  });
  if (!said) return;
  const minutes = Number(said.minutes);
  if (!Number.isInteger(minutes) || minutes < 1) return tell(`minutes is ${said.minutes}, wanted a whole number above 0`);
  const matchers = Object.fromEntries(["subject", "feature"].filter((name) => said[name]).map((name) => [name, said[name]]));
  await context.act(() => send("POST", "/silences", { matchers, minutes, why: said.why }), "Silenced");
}

async function endSilence(one, context) {
  const said = await ask("End the silence", { confirm: "End it", text: matched(one) });
  if (said) await context.act(() => send("POST", `${at("silences", one.silence_id)}/end`, { why: said.why }), "Ended");
}
