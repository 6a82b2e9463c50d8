// The form of a new plan. The contract decides; what is said here only comes sooner.
import { marketCall } from "../lib/contracts.js";
import { StateError } from "../lib/errors.js";
import { bps, price, whole } from "../lib/numbers.js";
import { behaviour } from "../lib/page.js";
import { Status } from "../lib/status.js";
import { order, withWallet } from "../lib/transact.js";

const DAY = 24 * 3600;
const FLAGS = { run: 1, download: 2, transferable: 4, renewable: 8 };

function flagsOf(fields, { period, calls }) {
  const flags = Object.entries(FLAGS).reduce((sum, [name, bit]) => sum + (fields[name].checked ? bit : 0), 0);
  if (!(flags & (FLAGS.run | FLAGS.download))) throw new StateError("failed", "A plan must give the right to run, to download, or both.");
  if (flags & FLAGS.renewable && !period && !calls) {
    throw new StateError("failed", "A perpetual licence without a limit of calls has nothing to renew. Untick renewing, or give a period or calls.");
  }
  return flags;
}

/** Seconds over which the price vests: until the expiry where there is one, else over the days that the form says. */
function vestingOf(fields, period) {
  if (fields.vests.value === "at-once") return 0;
  return period || whole(fields.vesting.value, { name: "The vesting of a perpetual licence, in days,", low: 1, high: 90 }) * DAY;
}

function operatorOf(fields, calls) {
  const operatorId = whole(fields.operator.value, { name: "The operator", low: 0, high: 2 ** 32 - 1 });
  const serviceBps = bps(fields.service.value, { name: "The operator's share", most: 50 });
  if (!operatorId && calls) throw new StateError("failed", "A plan that counts calls needs an operator who reports them.");
  return { operatorId, serviceBps: operatorId ? serviceBps : 0 };
}

/** The terms that the form says, by the names of the contract's struct. Throws StateError with what to mend. */
function termsOf(form) {
  const fields = form.elements;
  const option = fields.token.selectedOptions[0];
  const period = whole(fields.days.value, { name: "The period in days", low: 0, high: 3650 }) * DAY;
  const calls = whole(fields.calls.value, { name: "The number of calls", low: 0, high: 2 ** 31 - 1 });
  return {
    modelId: BigInt(form.dataset.model),
    token: option.value,
    price: price(fields.price.value, Number(option.dataset.decimals)),
    period,
    vesting: vestingOf(fields, period),
    calls,
    supply: whole(fields.supply.value, { name: "The supply", low: 1, high: 2 ** 24 - 1 }),
    feeBps: Number(form.dataset.feeBps),
    ...operatorOf(fields, calls),
    entryBps: bps(fields.entry.value, { name: "The entry share", most: 20 }),
    flags: flagsOf(fields, { period, calls }),
  };
}

behaviour("form[data-add-plan]", (form) => {
  const button = form.querySelector("button");
  const status = new Status(form.querySelector("[data-status]"));
  const action = async (client) => {
    const call = marketCall("addPlan", [termsOf(form)]);
    await order({ client, status, what: "add the plan", call, about: { kind: "add_plan" } });
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    withWallet({ button, status, action });
  });
});
