// Questions to the person: the token, whether something should really be done, which label is right.

import { act, identify, token } from "./api.js";
import { h } from "./dom.js";
import { t } from "./i18n.js";
import { fault, toast } from "./parts.js";

/** Show a form; resolves to its values, or null when it is left. `submit` may refuse with an error, which is shown. */
export function ask({ title, text = "", fields = [], yes = t("ok"), danger = false, submit = async () => {} }) {
  return new Promise((resolve) => {
    const errors = h("div");
    const inputs = fields.map(({ name, label, ...props }) =>
      h("label", { class: "field" }, label, props.multiline ? h("textarea", { name, maxlength: props.maxlength }) : h("input", { name, ...props })));
    const send = async (event) => {
      event.preventDefault();
      const values = Object.fromEntries(new FormData(event.currentTarget));
      try {
        await submit(values);
        dialog.close();
        resolve(values);
      } catch (error) {
        errors.replaceChildren(fault(error));
      }
    };
    const dialog = h(
      "dialog",
      { "aria-label": title },
      h("form", { method: "dialog", onsubmit: send },
        h("h2", null, title),
        text && h("p", { class: "soft" }, text),
        inputs,
        errors,
        h("div", { class: "actions" },
          h("button", { type: "button", onclick: () => dialog.close() }, t("cancel")),
          h("button", { type: "submit", class: danger ? "danger" : "primary" }, yes))),
    );
    dialog.addEventListener("close", () => (dialog.remove(), resolve(null)));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Whether the page has a token by now, asked for once. */
export async function unlock() {
  if (token.get()) return true;
  const given = await ask({
    title: t("token.title"),
    text: t("token.text"),
    yes: t("token.use"),
    fields: [{ name: "token", label: t("token.label"), type: "password", autocomplete: "off", required: true, autofocus: true }],
    submit: async (values) => {
      await identify(values.token.trim());
      token.set(values.token.trim());
    },
  });
  if (given) document.dispatchEvent(new Event("lepton:unlocked"));
  return Boolean(given);
}

/** Ask whether to do it, with what it means, then call the RPC. */
export async function perform({ title, text, yes, danger = false, service, method, request, done }) {
  if (!(await unlock())) return;
  const answer = await ask({
    title,
    text,
    yes,
    danger,
    submit: () => act(service, method, request).catch((error) => {
      if (error.status === 401) token.set("");
      throw error;
    }),
  });
  if (answer) {
    toast(done || t("done"));
    document.dispatchEvent(new Event("lepton:changed"));
  }
}

export function help(places) {
  const rows = [
    ...places.map(({ key, name }) => [["g", key], name]),
    [["/"], t("help.search")],
    [["j"], t("help.next")],
    [["k"], t("help.previous")],
    [["?"], t("help.help")],
  ];
  const dialog = h(
    "dialog",
    { "aria-label": t("help.title") },
    h("div", { class: "inside" },
      h("h2", null, t("help.title")),
      h("dl", { class: "pairs" }, rows.flatMap(([keys, name]) => [
        h("dt", null, keys.map((key) => [h("kbd", null, key), " "])),
        h("dd", null, name),
      ])),
      h("div", { class: "actions" }, h("button", { type: "button", onclick: () => dialog.close() }, t("close")))),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
