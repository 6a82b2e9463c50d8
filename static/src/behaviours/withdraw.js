// Withdrawing a model's income to the owner's own account.
import { marketCall } from "../lib/contracts.js";
import { behaviour } from "../lib/page.js";
import { Status } from "../lib/status.js";
import { follow, send, withWallet } from "../lib/transact.js";

behaviour("[data-withdraw]", (box) => {
  const { model, token, amountText } = box.dataset;
  const button = box.querySelector("button");
  const status = new Status(box.querySelector("[data-status]"));
  const action = async (client) => {
    const call = marketCall("withdraw", [BigInt(model), token, client.account.address]);
    const hash = await send({ client, status, what: `withdraw ${amountText} to your account`, call });
    await follow(status, { kind: "withdraw", hash });
  };
  button.addEventListener("click", () => withWallet({ button, status, action }));
});
