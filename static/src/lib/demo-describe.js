// A transaction or a signature in words, read from its own data: what a wallet shows must not depend on the page's text.
import { decodeFunctionData, formatUnits } from "viem";
import { marketAbi, NATIVE, registryAbi, tokenAbi } from "./contracts.js";
import { sameAddress, site } from "./page.js";

const RIGHTS = [[1, "run"], [2, "download"], [4, "pass on"], [8, "renew"]];

function percent(bps) {
  return `${Number(bps) / 100} %`;
}

function span(seconds) {
  const count = Number(seconds);
  const [size, unit] = [[86400, "day"], [3600, "hour"], [1, "second"]].find(([length]) => count % length === 0);
  return `${count / size} ${unit}${count === size ? "" : "s"}`;
}

function moment(seconds) {
  const date = new Date(Number(seconds) * 1000);
  return Number.isNaN(date.getTime()) ? `second ${seconds}` : `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

function list(ids) {
  const shown = ids.slice(0, 3).join(", ");
  return ids.length > 3 ? `${shown} and ${ids.length - 3} more` : shown;
}

/** An amount of a token. Only the site's own token has a name here: what others call themselves is a stranger's word. */
function money(token, amount) {
  return sameAddress(token, site.usd) ? `${formatUnits(BigInt(amount), 6)} TestUSD` : `${amount} of the smallest unit of token ${token}`;
}

function coin(token) {
  return token === NATIVE ? "the chain's own coin" : `token ${token}`;
}

function buying(plan, hash, recipient) {
  return [`Buy a licence under plan ${plan} for ${recipient}.`, `Terms (planHash): ${hash}`];
}

function planLines(terms) {
  const rights = RIGHTS.filter(([bit]) => terms.flags & bit).map(([, name]) => name);
  return [
    `Add a plan to model ${terms.modelId}: price ${terms.price} of the smallest unit, in ${coin(terms.token)}.`,
    `${terms.period ? `For ${span(terms.period)}` : "Perpetual"}, ${terms.calls ? `${terms.calls} calls` : "calls without limit"}, at most ${terms.supply} licences; to ${rights.join(", ")}.`,
    terms.vesting ? `The price vests over ${span(terms.vesting)}; ${percent(terms.entryBps)} of it at once.` : "The whole price vests at once.",
    `Protocol fee ${percent(terms.feeBps)}${terms.operatorId ? `, operator ${terms.operatorId} gets ${percent(terms.serviceBps)}` : ", no operator"}. A plan never changes.`,
  ];
}

const MARKET = {
  buy: ([plan, hash, recipient]) => buying(plan, hash, recipient),
  buyWithPermit: ([plan, hash, recipient, deadline]) => [...buying(plan, hash, recipient), `Paid with the permit that you signed, valid until ${moment(deadline)}.`],
  buyWithAuthorization: ([plan, hash, recipient, { payer }]) => [...buying(plan, hash, recipient), `Paid by ${payer}.`],
  buyWithWalletAuthorization: ([plan, hash, recipient, { payer }]) => [...buying(plan, hash, recipient), `Paid by ${payer}.`],
  renew: ([licence, hash]) => [`Renew licence ${licence} for another term.`, `Terms (planHash): ${hash}`],
  cancel: ([licence, to]) => [`Cancel licence ${licence}: it ends at once, for good.`, `What has not vested is paid to ${to}.`],
  cancelBySig: ([licence, to]) => [`Cancel licence ${licence} for its holder, who signed that: it ends at once, for good.`, `What has not vested is paid to ${to}.`],
  settle: ([licence, to]) => [`Settle licence ${licence}: what has not vested is paid to ${to}, and its token is burned.`],
  collect: ([licences]) => [`Move what has vested of ${licences.length} licence${licences.length === 1 ? "" : "s"} to the income of their plans: ${list(licences)}.`],
  split: ([plan]) => [`Share out the income of plan ${plan}.`],
  withdraw: ([model, token, to]) => [`Withdraw the income of model ${model} to ${to}.`, `In ${coin(token)}.`],
  withdrawAccount: ([token, to]) => [`Withdraw what your account earned as an operator or treasury to ${to}.`, `In ${coin(token)}.`],
  addPlan: ([terms]) => planLines(terms),
  retirePlan: ([plan]) => [`Retire plan ${plan}: nobody can buy or renew it any more.`],
  registerOperator: ([key, payee]) => ["Register an operator that your account owns.", `Its key ${key} attests use; its share goes to ${payee}.`],
  setOperator: ([operator, key, payee]) => [`Change operator ${operator}.`, `From now on its key ${key} attests use; its share goes to ${payee}.`],
  reportUsage: ([licences]) => [`Report the calls used of ${licences.length} licences: ${list(licences)}.`],
  deliver: ([licence, key]) => [`Record that the key of licence ${licence} is handed over to ${key}. Its whole price vests.`],
  transferFrom: ([from, to, licence]) => [`Pass licence ${licence} on from ${from} to ${to}.`],
};
const REGISTRY = {
  publish: ([digest, parents, bps]) => [
    `Publish a new model with the release ${digest}.`,
    ...parents.map((parent) => `It was made from model ${parent.modelId}, which gets ${percent(parent.bps)} of what it earns.`),
    ...(bps ? [`Models made from it will owe it ${percent(bps)}.`] : []),
  ],
  release: ([model, digest]) => [`Publish the release ${digest} of model ${model}.`],
  setDerivativeBps: ([model, bps]) => [`From now on, models made from model ${model} owe it ${percent(bps)}.`],
  transferFrom: ([from, to, model]) => [`Give model ${model}, its plans and its income from ${from} to ${to}.`],
};
const TOKEN = {
  approve: ([spender, amount], token) => [`Let ${spender} take ${money(token, amount)} from your account.`],
  transfer: ([to, amount], token) => [`Send ${money(token, amount)} to ${to}.`],
};

function decode(abi, sentences, { to, data = "0x" }) {
  try {
    const { functionName, args = [] } = decodeFunctionData({ abi, data });
    return sentences[functionName]?.(args, to) ?? [`Call ${functionName}(${args.map(String).join(", ")}).`];
  } catch {
    return null;
  }
}

function sentencesOf(transaction) {
  if (sameAddress(transaction.to, site.market)) return decode(marketAbi, MARKET, transaction);
  if (sameAddress(transaction.to, site.registry)) return decode(registryAbi, REGISTRY, transaction);
  return decode(tokenAbi, TOKEN, transaction);
}

/** The question that the demo wallet asks before it sends this transaction. */
export function describe(transaction) {
  const value = BigInt(transaction.value ?? "0x0");
  const lines = sentencesOf(transaction) ?? ["Call a contract in a way that the demo wallet cannot read."];
  lines.push(value > 0n ? `Pays ${formatUnits(value, 18)} ETH.` : "Pays no ETH.");
  lines.push(`From ${transaction.from} to contract ${transaction.to}.`);
  return { title: "Send this transaction?", lines };
}

const SIGNED = {
  Permit: ({ spender, value, deadline }, token) => [`Let ${spender} take ${money(token, value)} from your account.`, `Once, until ${moment(deadline)}.`],
  ReceiveWithAuthorization: ({ to, value, validBefore }, token) => [`Let ${to} take ${money(token, value)} from your account.`, `Once, until ${moment(validBefore)}.`],
  Cancel: ({ licenceId, to, deadline }) => [`Let anybody cancel licence ${licenceId} for you: it ends at once, for good, and what has not vested is paid to ${to}.`, `Until ${moment(deadline)}.`],
  Deliver: ({ licenceId, recipientKey }) => [`Ask for the key of licence ${licenceId}, wrapped for ${recipientKey}. Its whole price vests.`],
};

function typedLines({ primaryType, message, domain }) {
  try {
    return SIGNED[primaryType]?.(message, domain.verifyingContract) ?? null;
  } catch {
    return null;
  }
}

/** The question that the demo wallet asks before it signs typed data (EIP-712). */
export function describeTyped(address, typed) {
  const { name, chainId, verifyingContract } = typed.domain ?? {};
  const lines = typedLines(typed) ?? ["Sign data that the demo wallet cannot read:"];
  lines.push(`For ${name ?? "a contract without a name"}, contract ${verifyingContract ?? "unknown"}, chain ${chainId ?? "unknown"}.`);
  lines.push(`Account ${address}. A signature costs nothing.`);
  return { title: "Sign this permission?", lines, detail: SIGNED[typed.primaryType] ? undefined : JSON.stringify(typed.message, null, 2), approve: "Sign" };
}
