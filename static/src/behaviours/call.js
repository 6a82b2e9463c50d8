// A call that the server wrote into the page: tried, signed, sent, followed. Cancel, renew, settle, collect, split,
// withdraw, retire, operators: all are boxes of this kind.
import { callOf, NATIVE } from "../lib/contracts.js";
import { behaviour } from "../lib/page.js";
import { allowanceOf, approve, balanceCheck, tryBefore } from "../lib/pay.js";
import { Status } from "../lib/status.js";
import { order, withWallet } from "../lib/transact.js";

/** `{token, price, priceText}` where the call pays in a token that has to be allowed first. */
function paymentOf({ payToken, payPrice, payText }) {
  if (!payToken || payToken === NATIVE || payPrice === "0") return null;
  return { token: payToken, price: BigInt(payPrice), priceText: payText };
}

async function pay(client, status, { call, payment }) {
  if ((await allowanceOf(client, payment.token)) >= payment.price) return;
  await balanceCheck(client, payment);
  await tryBefore(client, call);
  await approve(client, status, payment);
}

/** Run the box's call with these arguments. */
export async function perform({ client, status, data, args }) {
  const call = callOf({ contract: data.contract, name: data.call, args, value: data.value });
  const payment = paymentOf(data);
  if (payment) await pay(client, status, { call, payment });
  const { kind, plan, licence } = data;
  await order({ client, status, what: data.what, call, about: { kind, plan, licence } });
}

behaviour("div[data-call]", (box) => {
  const button = box.querySelector("button");
  const status = new Status(box.querySelector("[data-status]"));
  const action = (client) => perform({ client, status, data: box.dataset, args: JSON.parse(box.dataset.args) });
  button.addEventListener("click", () => withWallet({ button, status, action }));
});
