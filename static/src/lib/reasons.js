// What the contracts refuse, in words: what is the matter, and what to do. Every custom error of the ABI has an entry
// (tests/storefront/test_bundle.py). An entry is a sentence, or makes one from the error's arguments.

function moment(seconds) {
  const date = new Date(Number(seconds) * 1000);
  return Number.isNaN(date.getTime()) ? "a time beyond the calendar" : `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

function percent(bps) {
  return `${Number(bps) / 100} %`;
}

const MISTAKE = "This is a mistake of the page and not yours. Reload it, and tell the site's operator if it stays.";

const PLANS = {
  PlanHashDiffers: "The plan is not the one that this page shows. Reload the page and read the terms again.",
  PlanIsRetired: "The publisher retired this plan: it is not sold or renewed any more. Choose another plan.",
  PlanUnknown: "This plan does not exist on this chain. Reload the page.",
  SupplyExhausted: ([, supply]) => `All ${supply} licences of this plan are taken. Choose another plan or come back later.`,
  SalesPaused: "Buying and renewing are paused at the market. Licences, refunds and withdrawals go on; try again later.",
  TokenNotAllowed: "The market does not accept this token (any more). Choose a plan in another token.",
  TokenWithoutCode: "There is no contract at the token's address. Choose another token.",
  FlagsInvalid: "A plan must give the right to run, to download, or both, and only one with a period or calls can be renewed.",
  SupplyZero: "A plan needs a supply of at least one.",
  PeriodTooLong: ([, longest]) => `The period is at most ${Math.floor(Number(longest) / 86400)} days. Use 0 for a perpetual licence.`,
  VestingInvalid: ([, period]) =>
    Number(period)
      ? "A licence for a time vests at once or until it expires."
      : "A perpetual licence vests at once or over 1 hour to 90 days.",
  CallsTooMany: ([, most]) => `A licence has at most ${most} calls over its life.`,
  FeeDiffers: ([actual]) => `The protocol's fee is ${percent(actual)} now, not what this page showed. Reload the page and look at it again.`,
  BpsTooLarge: ([, most]) => `A share is too large: at most ${percent(most)} here.`,
  OperatorRequired: "A plan that counts calls, or pays a service share, needs an operator.",
  OperatorUnknown: ([id]) => `There is no operator ${id}.`,
  OperatorIsDisabled: ([id]) => `Operator ${id} was disabled by the market's guardian: its reports do not count any more. Choose another.`,
};

const PAYING = {
  ValueDiffers: "The payment does not equal the price. Reload the page and try again.",
  PaymentDiffers: "The token moved another amount than the price. Choose a plan in another token.",
  ERC20InsufficientBalance: "Your account holds too little of the token. Add funds and try again.",
  ERC20InsufficientAllowance: "The market may not take the price from your account (yet), or your permit is not valid any more. Try again and confirm each step.",
  ERC2612ExpiredSignature: "The permit that you signed has expired. Try again.",
  ERC2612InvalidSigner: "The permit was not signed by the account that pays. Use the signed-in account.",
  AuthorizationExpired: ([before]) => `The signed payment was valid until ${moment(before)}. Sign a new one.`,
  AuthorizationNotYetValid: ([after]) => `The signed payment is valid from ${moment(after)} on. Try again then.`,
  AuthorizationSignatureInvalid: "The payment is not signed by the account that pays.",
  AuthorizationSpent: "This signed payment was used before. Sign a new one.",
  CallerNotPayee: "Only the receiver of a signed payment may take it.",
  SafeERC20FailedOperation: "The token refused the transfer. Check your balance and the token's own rules, or choose a plan in another token.",
  NothingToWithdraw: "There is nothing to withdraw. Reload the page: somebody may have withdrawn it already.",
  FailedCall: "The account that should receive the coins refused them. Choose another account.",
  InsufficientBalance: "The account holds less than it should pay out. Nothing moved; tell the site's operator.",
  RecipientInvalid: "The money would be lost at this address. Name another one.",
};

const LICENCES = {
  LicenceUnknown: ([id]) => `There is no licence ${id} (any more): it was settled, or its purchase was undone by the chain. Reload the page.`,
  NotHolder: "Only the holder of the licence may do this. Use the account that holds it.",
  LicenceBound: "This licence stays with the account that received it.",
  LicenceIsCancelled: "The licence is cancelled already. Reload the page to see when it is settled.",
  LicenceExpired: "The licence has expired.",
  NotRenewable: "The plan of this licence cannot be renewed. Buy a new licence.",
  NotDownloadable: "The plan of this licence does not include the download.",
  NotDeliverer: "Only the plan's operator and the model's owner hand over the key.",
  SettlesLater: ([, at]) =>
    Number(at) ? `The refund is paid from ${moment(at)} on; until then the operator may report calls.` : "The licence must be cancelled first.",
  DeadlinePassed: ([deadline]) => `The signed request was valid until ${moment(deadline)}. Sign a new one.`,
  SignatureInvalid: "The request is not signed by the licence's holder.",
  RequestUsed: "This request was carried out before. Sign a new one.",
  BatchInvalid: ([, most]) => `At most ${most} entries at once.`,
};

const MODELS = {
  NotModelOwner: "Only the model's owner may do this. Use the account that owns the model.",
  ModelUnknown: ([id]) => `Model ${id} does not exist on this chain. Check its number.`,
  ModelIsSuspended: "The model is suspended by the market's guardian: no sales and no access, and the clock of its licences stands still. Cancelling and withdrawing go on.",
  SuspendedAlready: "The model is suspended already.",
  NotSuspended: "The model is not suspended.",
  DigestZero: "A release needs a digest.",
  DerivativeBpsTooLarge: ([, most]) => `A model asks those made from it for at most ${percent(most)}.`,
  ParentShareTooSmall: ([parent, asked, given]) => `Model ${parent} asks for ${percent(asked)} of what models made from it earn; ${percent(given)} is too little.`,
  TooManyAncestors: ([most]) => `The parents and their own parents are more than ${most} models.`,
  AncestorSharesTooLarge: ([sum, most]) => `The shares of all ancestors sum up to ${percent(sum)}; the most is ${percent(most)}.`,
};

const OTHERS = {
  NotAllowed: "Your account does not have the role that this needs.",
  NotOperatorKey: "Only the operator's key may do this.",
  BatchEmpty: "A batch needs at least one receipt.",
  AnchoredAlready: "This batch was anchored before.",
  OwnableUnauthorizedAccount: "Only the market's admin may do this.",
  OwnableInvalidOwner: "The admin must be a real address.",
  NotOwnerNorApproved: "Only the token's owner, or who it approved, may move it.",
  TokenDoesNotExist: "There is no such token.",
  TransferFromIncorrectOwner: "The token belongs to another account by now. Reload the page.",
  TransferToZeroAddress: "A token cannot be sent to nobody.",
  TransferToNonERC721ReceiverImplementer: "The receiving contract does not take such tokens.",
  ReentrancyGuardReentrantCall: "A token or an account called the market from inside a payment. Do not use it.",
  SafeCastOverflowedUintDowncast: "A number is larger than the contract can hold.",
  ValueNotTaken: "No coins may be sent along with this call.",
};

// What no page of this site can bring about.
const NEVER = [
  "AccountBalanceOverflow", "BalanceQueryForZeroAddress", "TokenAlreadyExists", "NotDevelopmentChain", "InvalidAccountNonce",
  "InvalidShortString", "StringTooLong", "ECDSAInvalidSignature", "ECDSAInvalidSignatureLength", "ECDSAInvalidSignatureS",
  "ERC20InvalidApprover", "ERC20InvalidReceiver", "ERC20InvalidSender", "ERC20InvalidSpender",
];

const REASONS = { ...PLANS, ...PAYING, ...LICENCES, ...MODELS, ...OTHERS, ...Object.fromEntries(NEVER.map((name) => [name, MISTAKE])) };

/** The sentence for a custom error, or null where the contract is a stranger's. */
export function reasonText(name, args = []) {
  if (!Object.hasOwn(REASONS, name)) return null;
  const reason = REASONS[name];
  return typeof reason === "function" ? reason(args) : reason;
}

/** Whether the error comes from the money's side: the payer's balance, the allowance, or the token itself. */
export function isAboutPaying(name) {
  return Object.hasOwn(PAYING, name) || name.startsWith("ERC20") || !Object.hasOwn(REASONS, name);
}
