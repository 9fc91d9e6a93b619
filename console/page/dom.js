// Elements as values, and a patch that changes only what differs, so that focus and scrolling survive live updates.

const SVG = "http://www.w3.org/2000/svg";

export function h(tag, props, ...children) {
  return filled(document.createElement(tag), props, children);
}

export function s(tag, props, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

function filled(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element[name] = value;
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  if (props?.value !== undefined) element.dataset.given = props.value;
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  // A select takes its value only once it has its options.
  if (props?.value !== undefined) element.value = props.value;
  return element;
}

export function patch(standing, wanted) {
  if (standing.nodeType !== wanted.nodeType || standing.nodeName !== wanted.nodeName) {
    standing.replaceWith(wanted);
    return;
  }
  if (standing.nodeType === Node.TEXT_NODE) {
    if (standing.data !== wanted.data) standing.data = wanted.data;
    return;
  }
  const open = standing.nodeName === "DETAILS" && standing.open;
  for (const { name } of [...standing.attributes]) if (!wanted.hasAttribute(name)) standing.removeAttribute(name);
  for (const { name, value } of [...wanted.attributes]) {
    if (standing.getAttribute(name) !== value) standing.setAttribute(name, value);
  }
  if (open) standing.open = true;
  for (const event of ["onclick", "onchange", "onsubmit", "oninput"]) standing[event] = wanted[event];
  patchChildren(standing, wanted);
}

export function patchChildren(standing, wanted) {
  const before = [...standing.childNodes];
  const after = [...wanted.childNodes];
  after.forEach((child, place) => (place < before.length ? patch(before[place], child) : standing.append(child)));
  before.slice(after.length).forEach((child) => child.remove());
}

let tellers = 0;

export function tell(text) {
  const line = h("p", null, prose(text));
  document.getElementById("told").append(line);
  tellers += 1;
  setTimeout(() => line.remove(), 6000 + 1000 * Math.min(tellers, 4));
}

export function table(caption, columns, rows) {
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      null,
      h("caption", null, caption),
      h("thead", null, h("tr", null, columns.map((column) => h("th", { scope: "col", class: kind(column) }, name(column))))),
      h("tbody", null, rows.map((row) => h("tr", null, row.map((cell, at) => h("td", { class: kind(columns[at]) }, cell))))),
    ),
  );
}

const kind = (column) => (column.startsWith("#") ? "number" : null);
const name = (column) => column.replace(/^#/, "");

export function empty(text, hint) {
  return h("p", { class: "empty" }, prose(text), hint ? h("span", null, h("br"), prose(hint)) : null);
}

// What stands between backticks is something to type.
export function prose(text) {
  return String(text).split("`").map((part, place) => (place % 2 ? h("code", null, part) : part));
}

const SIGNS = { good: "●", warn: "▲", bad: "◆", plain: "○" };

export function tag(text, mood = "plain") {
  return h("span", { class: `tag ${mood}` }, `${SIGNS[mood]} ${words(text)}`);
}

export const words = (text) => String(text).replaceAll("_", " ");

const MOODS = {
  drift: "bad", warning: "warn", stable: "good", critical: "bad", high: "bad", medium: "warn", low: "plain",
  firing: "bad", pending: "warn", acknowledged: "good", online: "good", offline: "warn", revoked: "plain",
  pass: "good", fail: "bad", hold: "warn", inconclusive: "warn", no_data: "warn",
  running: "plain", waiting: "plain", finished: "good", failed: "bad", cancelled: "plain", superseded: "plain", cancelling: "warn",
  succeeded: "good", paused: "warn", rolling_back: "bad", rolled_back: "bad", aborted: "bad", awaiting_approval: "warn",
  production: "good", staging: "warn",
};

export const mood = (text) => tag(text, MOODS[text] ?? "plain");

// Asks for a reason, and for more where `fields` says so; gives null when the person changes their mind.
export function ask(title, { confirm = title, grave = false, fields = [], text = "" } = {}) {
  return new Promise((settle) => {
    const reason = h("textarea", { name: "why", maxlength: "2000", id: "ask-why" });
    const inputs = fields.map((field) => field());
    const dialog = h(
      "dialog",
      { "aria-labelledby": "ask-title" },
      h(
        "form",
        { method: "dialog", onsubmit: () => dialog.close("yes") },
        h("h2", { id: "ask-title" }, title),
        text ? h("p", null, text) : null,
        inputs,
        h("label", { for: "ask-why" }, "Why (for the audit log)", reason),
        h(
          "div",
          { class: "row" },
          h("button", { class: grave ? "grave" : "main", type: "submit" }, confirm),
          h("button", { type: "button", onclick: () => dialog.close("") }, "Leave it"),
        ),
      ),
    );
    dialog.addEventListener("close", () => {
      const said = dialog.returnValue === "yes" ? Object.fromEntries(new FormData(dialog.querySelector("form"))) : null;
      dialog.remove();
      settle(said);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
