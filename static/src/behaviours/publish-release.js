// Signing a checked release into the registry: a new model, or a new release of one.
import { registryCall } from "../lib/contracts.js";
import { behaviour } from "../lib/page.js";
import { Status } from "../lib/status.js";
import { follow, send, withWallet } from "../lib/transact.js";

behaviour("[data-publish-release]", (box) => {
  const { digest, model } = box.dataset;
  const button = box.querySelector("button");
  const status = new Status(box.querySelector("[data-status]"));
  const call = model ? registryCall("release", [BigInt(model), digest]) : registryCall("publish", [digest]);
  const what = model ? `publish this release of model ${model}` : "publish this release as a new model";
  const kind = model ? "release" : "publish";
  const action = async (client) => follow(status, { kind, hash: await send({ client, status, what, call }) });
  button.addEventListener("click", () => withWallet({ button, status, action }));
});
