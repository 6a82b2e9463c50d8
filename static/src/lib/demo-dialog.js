// The demo wallet's own window inside the page.
import { element } from "./page.js";

const WARNING = "Demo wallet, for the development chain only. Its keys are public and its money is worthless.";
// The node's accounts in their well-known order. The first one deploys the contracts and holds every role.
const NAMES = ["Admin", "Publisher", "Buyer", "Second buyer", "Outsider", "Operator's owner", "Operator's key", "Operator's payee"];

function nameOf(index) {
  return NAMES[index] ?? `Account ${index + 1}`;
}

/** Show content with two buttons. Resolves to true on approval, false on rejection, Escape included. */
function open(title, approve, ...content) {
  const yes = element("button", { type: "submit", value: "approve", text: approve, "data-demo": "approve" });
  const no = element("button", { type: "submit", value: "reject", text: "Reject", className: "outline secondary", "data-demo": "reject", formnovalidate: "" });
  const form = element("form", { method: "dialog" }, ...content, element("footer", {}, no, yes));
  const article = element("article", {}, element("p", { className: "warning", text: WARNING }), element("h2", { text: title, id: "demo-wallet-title" }), form);
  const dialog = element("dialog", { className: "demo-wallet", "aria-labelledby": "demo-wallet-title" }, article);
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "approve");
      dialog.remove();
    });
    dialog.showModal();
    yes.focus();
  });
}

/** Approve or reject one request, said in words. */
export function ask({ title, lines, detail, approve = "Approve" }) {
  const content = lines.map((line) => element("p", { text: line }));
  if (detail) content.push(element("pre", { text: detail, tabindex: "0" }));
  return open(title, approve, ...content);
}

/** The chosen address, or null when the person closed the window. */
export async function chooseAccount(accounts, remembered) {
  const choices = accounts.slice(0, 10).map((address, index) => {
    const input = element("input", { type: "radio", name: "account", value: address });
    const isChosen = remembered ? address.toLowerCase() === remembered : index === 2;
    input.checked = isChosen;
    const text = element("span", {}, element("strong", { text: nameOf(index) }), element("br"), element("code", { text: address }));
    return element("label", {}, input, text);
  });
  const group = element("fieldset", { className: "accounts" }, ...choices);
  const approved = await open("Which account?", "Use this account", group);
  return approved ? (group.querySelector("input:checked")?.value ?? null) : null;
}
