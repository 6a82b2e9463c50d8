// Registering an operator, and changing its key and payee: forms with addresses.
import { isAddress } from "viem";
import { StateError } from "../lib/errors.js";
import { behaviour } from "../lib/page.js";
import { Status } from "../lib/status.js";
import { withWallet } from "../lib/transact.js";
import { perform } from "./call.js";

function addressOf(form, name, label) {
  const text = form.elements[name].value.trim();
  if (!isAddress(text)) throw new StateError("failed", `${label} is not an address: 0x and 40 hex digits, with the checksum if it has capitals.`);
  return text;
}

behaviour("form[data-operator-call]", (form) => {
  const button = form.querySelector("button");
  const status = new Status(form.querySelector("[data-status]"));
  const action = (client) => {
    const people = [addressOf(form, "key", "The key"), addressOf(form, "payee", "The payee")];
    return perform({ client, status, data: form.dataset, args: [...JSON.parse(form.dataset.args), ...people] });
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    withWallet({ button, status, action });
  });
});
