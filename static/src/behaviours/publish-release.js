// Signing a checked release into the registry: a new model with what it was made from, or a new release of one.
import { registryCall } from "../lib/contracts.js";
import { StateError } from "../lib/errors.js";
import { bps } from "../lib/numbers.js";
import { behaviour } from "../lib/page.js";
import { Status } from "../lib/status.js";
import { order, withWallet } from "../lib/transact.js";

const MOST_PERCENT = 50;

/** The parents that the form names, each with its share. */
function parentsOf(form) {
  const rows = [...form.querySelectorAll("[data-parent]")].map((row) => ({
    id: row.querySelector("[name=parent]").value.trim(),
    share: row.querySelector("[name=share]").value,
  }));
  return rows.filter(({ id }) => id).map(({ id, share }) => {
    if (!/^[1-9][0-9]{0,9}$/.test(id)) throw new StateError("failed", `"${id.slice(0, 20)}" is not a model's id: it is the number in the address of the model's page.`);
    return { modelId: BigInt(id), bps: bps(share, { name: `The share of model ${id}`, most: MOST_PERCENT }) };
  });
}

function callOf(form) {
  const { digest, model } = form.dataset;
  if (model) return registryCall("release", [BigInt(model), digest]);
  const derivative = bps(form.elements.derivative.value, { name: "What derived models owe", most: MOST_PERCENT });
  return registryCall("publish", [digest, parentsOf(form), derivative]);
}

behaviour("form[data-publish-release]", (form) => {
  const { model } = form.dataset;
  const button = form.querySelector("button[type=submit]");
  const status = new Status(form.querySelector("[data-status]"));
  const what = model ? `publish this release of model ${model}` : "publish this release as a new model";
  const kind = model ? "release" : "publish";
  const action = async (client) => order({ client, status, what, call: callOf(form), about: { kind } });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    withWallet({ button, status, action });
  });
});
