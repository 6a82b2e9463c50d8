// The owner's plans: add one, retire one.
import { parseUnits } from "viem";
import { marketCall } from "../lib/contracts.js";
import { StateError } from "../lib/errors.js";
import { behaviour } from "../lib/page.js";
import { Status } from "../lib/status.js";
import { follow, send, withWallet } from "../lib/transact.js";

const DAY = 24 * 3600;
const LIMITS = { price: 2n ** 96n, uint32: 2 ** 32 };

function whole(text, { name, low, high }) {
  const value = Number(text || "0");
  if (!Number.isInteger(value) || value < low || value >= high) {
    throw new StateError("failed", `${name} must be a whole number from ${low} to ${high - 1}.`);
  }
  return value;
}

/** The terms that the form says, in the order of the contract's struct. Throws StateError with what to mend. */
function termsOf(form) {
  const option = form.elements.token.selectedOptions[0];
  const text = form.elements.price.value.trim();
  const decimals = Number(option.dataset.decimals);
  if (!/^\d+(\.\d+)?$/.test(text) || (text.split(".")[1] ?? "").length > decimals) {
    throw new StateError("failed", `The price must be a number with at most ${decimals} decimals, such as 5 or 2.50.`);
  }
  const price = parseUnits(text, decimals);
  if (price >= LIMITS.price) throw new StateError("failed", "The price is higher than the contract can hold.");
  const flags = ["run", "download", "transferable"].reduce((sum, name, bit) => sum + (form.elements[name].checked ? 1 << bit : 0), 0);
  if ((flags & 3) === 0) throw new StateError("failed", "A plan must give the right to run, to download, or both.");
  const days = whole(form.elements.days.value, { name: "The period", low: 0, high: Math.floor(LIMITS.uint32 / DAY) });
  return {
    modelId: BigInt(form.dataset.model),
    token: option.value,
    price,
    period: days * DAY,
    calls: whole(form.elements.calls.value, { name: "The number of calls", low: 0, high: LIMITS.uint32 }),
    supply: whole(form.elements.supply.value, { name: "The supply", low: 1, high: LIMITS.uint32 }),
    flags,
  };
}

behaviour("form[data-add-plan]", (form) => {
  const button = form.querySelector("button");
  const status = new Status(form.querySelector("[data-status]"));
  const action = async (client) => {
    const call = marketCall("addPlan", [termsOf(form)]);
    await follow(status, { kind: "add_plan", hash: await send({ client, status, what: "add the plan", call }) });
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    withWallet({ button, status, action });
  });
});

behaviour("[data-retire-plan]", (box) => {
  const button = box.querySelector("button");
  const status = new Status(box.querySelector("[data-status]"));
  const plan = BigInt(box.dataset.retirePlan);
  const call = marketCall("retirePlan", [plan]);
  const action = async (client) => {
    await follow(status, { kind: "retire_plan", hash: await send({ client, status, what: "retire the plan", call }), plan });
  };
  button.addEventListener("click", () => withWallet({ button, status, action }));
});
