// Coming in: with a key, or by a one-time link.

import { send } from "/page/api.js";
import { h } from "/page/dom.js";

export function signIn(enter) {
  const said = h("p", { role: "alert" });
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
    h("label", { for: "key" }, "Your key", key),
    said,
    h("button", { class: "main", type: "submit" }, "Sign in"),
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
