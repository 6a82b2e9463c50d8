// A transaction in words, read from its own call data: what a wallet shows must not depend on the page's text.
import { decodeFunctionData, formatUnits } from "viem";
import { marketAbi, registryAbi, tokenAbi } from "./contracts.js";
import { sameAddress, site } from "./page.js";

const MARKET = {
  buy: ([plan, hash, recipient]) => [`Buy a licence under plan ${plan} for ${recipient}.`, `Terms (planHash): ${hash}`],
  addPlan: ([terms]) => [`Add a plan to model ${terms.modelId}: price ${terms.price} of the token's smallest unit, token ${terms.token}.`],
  retirePlan: ([plan]) => [`Retire plan ${plan}: nobody can buy it any more.`],
  withdraw: ([model, token, to]) => [`Withdraw the income of model ${model} to ${to}.`, `Token: ${token}`],
};
const REGISTRY = {
  publish: ([digest]) => [`Publish a new model with the release ${digest}.`],
  release: ([model, digest]) => [`Publish the release ${digest} of model ${model}.`],
};
const TOKEN = {
  approve: ([spender, amount]) => [`Let ${spender} take ${formatUnits(amount, 6)} TestUSD from your account.`],
  transfer: ([to, amount]) => [`Send ${formatUnits(amount, 6)} TestUSD to ${to}.`],
};

function decode(abi, sentences, data) {
  try {
    const { functionName, args = [] } = decodeFunctionData({ abi, data });
    return sentences[functionName]?.(args) ?? [`Call ${functionName}(${args.map(String).join(", ")}).`];
  } catch {
    return null;
  }
}

function sentencesOf({ to, data = "0x" }) {
  if (sameAddress(to, site.market)) return decode(marketAbi, MARKET, data);
  if (sameAddress(to, site.registry)) return decode(registryAbi, REGISTRY, data);
  return decode(tokenAbi, TOKEN, data);
}

/** The question that the demo wallet asks before it sends this transaction. */
export function describe(transaction) {
  const value = BigInt(transaction.value ?? "0x0");
  const lines = sentencesOf(transaction) ?? ["Call a contract in a way that the demo wallet cannot read."];
  lines.push(value > 0n ? `Pays ${formatUnits(value, 18)} ETH.` : "Pays no ETH.");
  lines.push(`From ${transaction.from} to contract ${transaction.to}.`);
  return { title: "Send this transaction?", lines };
}
