// What a wallet, a node or a contract refuses, as a sentence that says what to do next.

/** Reasons of the contracts that a person can meet. The rest is shown by its name and arguments. */
const REASONS = {
  PlanHashDiffers: "The plan is not the one that this page shows. Reload the page and read the terms again.",
  PlanIsRetired: "The publisher retired this plan. Choose another plan.",
  PlanUnknown: "This plan does not exist on this chain. Reload the page.",
  SupplyExhausted: "All licences of this plan are taken. Choose another plan or come back later.",
  ValueDiffers: "The payment does not equal the price. Reload the page and try again.",
  PaymentDiffers: "The token moved another amount than the price. Choose a plan in another token.",
  NotModelOwner: "Only the model's owner may do this. Use the account that owns the model.",
  ModelUnknown: "This model does not exist on this chain. Reload the page.",
  TokenNotAllowed: "The market does not accept this token. Choose another token.",
  FlagsInvalid: "A plan must give the right to run, to download, or both.",
  SupplyZero: "A plan needs a supply of at least one.",
  PeriodTooLong: "The period is too long. Use 0 for a perpetual licence.",
  NothingToWithdraw: "There is no income to withdraw.",
  ERC20InsufficientBalance: "Your account holds too little of the token. Add funds and try again.",
  ERC20InsufficientAllowance: "The market may not take the price from your account yet. Approve it first.",
};

function chainOf(error) {
  const chain = [];
  for (let at = error; at && chain.length < 12; at = at.cause) chain.push(at);
  return chain;
}

function named(chain, name) {
  return chain.find((error) => error.name === name);
}

/** The decoded reason of a revert, or null when the error is something else. */
export function revertReason(error) {
  const revert = named(chainOf(error), "ContractFunctionRevertedError");
  if (!revert) return null;
  const { errorName, args = [] } = revert.data ?? {};
  if (!errorName) return revert.reason || "The contract gave no reason that this site can read.";
  if (errorName === "Error") return String(args[0]).slice(0, 200);
  const technical = `${errorName}(${args.map(String).join(", ").slice(0, 200)})`;
  return REASONS[errorName] ? `${REASONS[errorName]} [${technical}]` : technical;
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
