// Buying a licence: approve where the price is in a token, buy, record the order, follow it.
import { readContract, waitForTransactionReceipt } from "viem/actions";
import { marketCall, NATIVE, tokenCall } from "../lib/contracts.js";
import { StateError } from "../lib/errors.js";
import { behaviour, site } from "../lib/page.js";
import { Status } from "../lib/status.js";
import { follow, send, withWallet } from "../lib/transact.js";

/** Let the market take exactly the price: no more than this purchase needs. */
async function approve(client, status, { token, price, priceText }) {
  const account = client.account.address;
  const allowance = await readContract(client, tokenCall(token, "allowance", [account, site.market]));
  if (allowance >= price) return;
  const balance = await readContract(client, tokenCall(token, "balanceOf", [account]));
  if (balance < price) {
    throw new StateError("failed", `Your account holds too little of the token to pay ${priceText}. Add funds and try again. Nothing was sent.`);
  }
  const call = tokenCall(token, "approve", [site.market, price]);
  const hash = await send({ client, status, what: `step 1 of 2, let the market take ${priceText}`, call });
  const receipt = await waitForTransactionReceipt(client, { hash });
  const allowed = await readContract(client, tokenCall(token, "allowance", [account, site.market]));
  if (receipt.status !== "success" || allowed < price) {
    throw new StateError("reverted", "The approval was mined but did not take effect. Nothing was paid; try again.");
  }
}

/** The terms that this page shows. The contract compares their hash with its own. */
function termsOf(box) {
  const { plan, planHash, token, price, priceText } = box.dataset;
  return { id: BigInt(plan), hash: planHash, token, price: BigInt(price), priceText };
}

async function buy(client, status, plan) {
  const isNative = plan.token === NATIVE;
  if (!isNative) await approve(client, status, plan);
  const what = isNative ? `pay ${plan.priceText} for the licence` : `step 2 of 2, pay ${plan.priceText} for the licence`;
  const call = marketCall("buy", [plan.id, plan.hash, client.account.address], isNative ? plan.price : 0n);
  const hash = await send({ client, status, what, call });
  await follow(status, { kind: "buy", hash, plan: plan.id });
}

behaviour("[data-buy]", (box) => {
  const button = box.querySelector("button");
  const status = new Status(box.querySelector("[data-status]"));
  button.addEventListener("click", () => withWallet({ button, status, action: (client) => buy(client, status, termsOf(box)) }));
});
