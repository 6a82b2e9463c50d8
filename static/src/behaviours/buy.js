// Buying a licence: in the coin at once; in a token with a signed permit, else with an approval before it.
import { marketCall, NATIVE } from "../lib/contracts.js";
import { revertOf, StateError } from "../lib/errors.js";
import { behaviour } from "../lib/page.js";
import { allowanceOf, approve, balanceCheck, permit, tryBefore } from "../lib/pay.js";
import { Status } from "../lib/status.js";
import { order, withWallet } from "../lib/transact.js";

/** The terms that this page shows. The contract compares their hash with its own. */
function termsOf(box) {
  const { plan, planHash, token, price, priceText } = box.dataset;
  return { id: BigInt(plan), hash: planHash, token, price: BigInt(price), priceText };
}

/** The call that buys, with the payment allowed or a permit in hand. */
async function paidInToken(client, status, plan) {
  const parts = [plan.id, plan.hash, client.account.address];
  const buy = marketCall("buy", parts);
  if (!plan.price || (await allowanceOf(client, plan.token)) >= plan.price) return buy;
  await balanceCheck(client, plan);
  status.show("checking", "Checking with the contract whether the plan can be bought.");
  await tryBefore(client, buy);
  const signed = await permit(client, status, plan);
  if (signed) return marketCall("buyWithPermit", [...parts, signed.deadline, signed.v, signed.r, signed.s]);
  await approve(client, status, plan);
  return buy;
}

async function buy(client, status, plan) {
  const isNative = plan.token === NATIVE;
  const call = isNative
    ? marketCall("buy", [plan.id, plan.hash, client.account.address], plan.price)
    : await paidInToken(client, status, plan);
  const what = plan.price ? `pay ${plan.priceText} for the licence` : "take the free licence";
  await order({ client, status, what, call, about: { kind: "buy", plan: plan.id } }).catch((error) => {
    throw call.functionName === "buyWithPermit" ? permitError(error) : error;
  });
}

/** A permit that fails is ignored by the market, so that what is missing is the allowance: say what is behind it. */
function permitError(error) {
  if (revertOf(error)?.name !== "ERC20InsufficientAllowance") return error;
  return new StateError("reverted", "Your permit is not valid (any more): it holds for 20 minutes, once, for this price. Nothing was paid; press the button to sign a new one. [ERC20InsufficientAllowance]");
}

behaviour("[data-buy]", (box) => {
  const button = box.querySelector("button");
  const status = new Status(box.querySelector("[data-status]"));
  button.addEventListener("click", () => withWallet({ button, status, action: (client) => buy(client, status, termsOf(box)) }));
});
