// What a wallet, a node or a contract refuses, as a sentence that says what to do next.

import { reasonText } from "./reasons.js";

function chainOf(error) {
  const chain = [];
  for (let at = error; at && chain.length < 12; at = at.cause) chain.push(at);
  return chain;
}

function named(chain, name) {
  return chain.find((error) => error.name === name);
}

/** Name and arguments of the custom error that a call was refused with, or null when the error is something else. */
export function revertOf(error) {
  const revert = named(chainOf(error), "ContractFunctionRevertedError");
  return revert ? { name: revert.data?.errorName ?? "", args: revert.data?.args ?? [], reason: revert.reason } : null;
}

/** The decoded reason of a revert, or null when the error is something else. A stranger's reason is text, cut short. */
export function revertReason(error) {
  const revert = revertOf(error);
  if (!revert) return null;
  const { name, args, reason } = revert;
  if (!name) return (reason || "The contract gave no reason that this site can read.").slice(0, 300);
  if (name === "Error") return `The token or contract says: ${String(args[0]).slice(0, 200)}`;
  const technical = `${name}(${args.map(String).join(", ").slice(0, 200)})`;
  const text = reasonText(name, args);
  return text ? `${text} [${technical}]` : technical;
}

/** `{state, text}` for anything that a wallet action can throw. */
export function explain(error) {
  if (error.state) return { state: error.state, text: error.message };
  if (error.name === "ProblemError") return { state: "failed", text: error.message };
  const chain = chainOf(error);
  const codes = chain.map((item) => item.code);
  if (codes.includes(4001) || named(chain, "UserRejectedRequestError")) {
    return { state: "rejected", text: "You rejected the request in your wallet. Nothing was sent and nothing was paid." };
  }
  if (codes.includes(-32002)) {
    return { state: "failed", text: "Your wallet has an open request already. Open the wallet, answer it, and try again." };
  }
  if (codes.includes(4100)) {
    return { state: "failed", text: "Your wallet does not let this page use that account. Connect the account in the wallet and try again." };
  }
  const reason = revertReason(error);
  if (reason) return { state: "reverted", text: `The contract refuses this: ${reason} Nothing was sent.` };
  if (named(chain, "InsufficientFundsError")) {
    return { state: "failed", text: "Your account cannot pay the price and the network fee. Add funds and try again." };
  }
  const said = chain.map((item) => item.details || item.shortMessage).find(Boolean) || error.message;
  return { state: "failed", text: `This did not work: ${String(said).slice(0, 300)} Nothing was recorded; try again.` };
}

/** An error with a state of its own, made by this site's scripts. */
export class StateError extends Error {
  constructor(state, message) {
    super(message);
    this.state = state;
  }
}
