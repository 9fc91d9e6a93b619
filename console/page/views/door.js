// Coming in: with a key, at the issuer, or by a one-time link.

import { get, send } from "/page/api.js";
import { h } from "/page/dom.js";

// Why the issuer's word did not let somebody in.
const REFUSALS = {
  "sign-in-lost": "This sign-in was not begun in this browser, is over, or took too long. Sign in again.",
  "sign-in-refused": "The issuer did not confirm the sign-in.",
  "no-role": "You are known, but have no role here. Ask an admin for one.",
  "bad-token": "The issuer's word cannot be believed: its token is not for this console.",
  "issuer-away": "The issuer does not answer. Try again later, or use a key.",
};

export async function signIn(enter, refusal) {
  const { oidc } = await get("/session/ways");
  const said = h("p", { role: "alert" }, REFUSALS[refusal] ?? null);
  const key = h("input", { id: "key", type: "password", autocomplete: "current-password", required: true });
  return h("form", {
      class: "narrow card",
      onsubmit: async (event) => {
        event.preventDefault();
        try {
          enter(await send("POST", "/session", { key: key.value }));
        } catch (problem) {
          said.textContent = problem.message;
        }
      },
    },
    said,
    oidc ? [h("a", { class: "button main", href: "/session/oidc" }, `Sign in at ${new URL(oidc).host}`), h("p", { class: "small quiet" }, "or")] : null,
    h("label", { for: "key" }, "Your key", key),
    h("button", { class: oidc ? null : "main", type: "submit" }, "Sign in"),
    h("p", { class: "small quiet" }, "Without a key: ask an admin for a link. The first start of the console prints one."),
  );
}

// Opens a one-time link and gives who came in, once they have put their key away.
export function welcome(invitation) {
  const main = document.getElementById("main");
  return new Promise((settle) => {
    const said = h("p", { role: "alert" });
    const open = async () => {
      try {
        const { key, ...who } = await send("POST", "/session/welcome", { invitation });
        main.replaceChildren(h("h1", { tabindex: "-1" }, `Welcome, ${who.name}`), h("div", { class: "narrow card" },
          h("p", null, "This is your key. It is shown this once; put it where you keep your passwords."),
          h("code", { class: "key" }, key),
          h("button", { class: "main", type: "button", onclick: () => settle(who) }, "I have put it away")));
        main.querySelector("h1").focus();
      } catch (problem) {
        said.textContent = `${problem.message}. ${problem.hint}`;
      }
    };
    main.replaceChildren(h("h1", { tabindex: "-1" }, "Welcome"), h("div", { class: "narrow card" },
      h("p", null, "This link works once."), said,
      h("button", { class: "main", type: "button", onclick: open }, "Come in")));
    main.querySelector("h1").focus();
  });
}
