// Paying in a token: by a permit that is signed and costs nothing where the token has EIP-2612, else by an approval.
import { domainSeparator } from "viem";
import { getBlock, readContract, signTypedData, simulateContract, waitForTransactionReceipt } from "viem/actions";
import { tokenCall } from "./contracts.js";
import { revertOf, StateError } from "./errors.js";
import { site } from "./page.js";
import { isAboutPaying } from "./reasons.js";
import { send } from "./transact.js";

const PERMIT_SECONDS = 20n * 60n;
// EIP-1193 and JSON-RPC: the wallet does not know the method.
const UNSUPPORTED = new Set([4200, -32601, -32004]);
const VERSION_ABI = [{ type: "function", name: "version", stateMutability: "view", inputs: [], outputs: [{ type: "string" }] }];
const PERMIT = ["owner:address", "spender:address", "value:uint256", "nonce:uint256", "deadline:uint256"].map((field) => {
  const [name, type] = field.split(":");
  return { name, type };
});

/**
 * Try the call before the market may take the money. Throws what would make it fail anyway: a plan that changed or sold
 * out, a pause, a suspension. What is about the payment is not known before the payment is allowed.
 */
export async function tryBefore(client, call) {
  try {
    await simulateContract(client, { account: client.account, ...call });
  } catch (error) {
    const revert = revertOf(error);
    if (!revert || (revert.name && revert.name !== "Error" && !isAboutPaying(revert.name))) throw error;
  }
}

/** Throws StateError where the account cannot pay the price. */
export async function balanceCheck(client, { token, price, priceText }) {
  const balance = await readContract(client, tokenCall(token, "balanceOf", [client.account.address]));
  if (balance < price) {
    throw new StateError("failed", `Your account holds too little of the token to pay ${priceText}. Add funds and try again. Nothing was sent.`);
  }
}

export function allowanceOf(client, token) {
  return readContract(client, tokenCall(token, "allowance", [client.account.address, site.market]));
}

async function sendAndWait(client, status, what, call) {
  const hash = await send({ client, status, what, call });
  return waitForTransactionReceipt(client, { hash });
}

/** Whether the token refuses the call as things are. */
async function refuses(client, call) {
  try {
    await simulateContract(client, { account: client.account, ...call });
    return false;
  } catch (error) {
    if (revertOf(error)) return true;
    throw error;
  }
}

/** Let the market take exactly the price: no more than this payment needs. */
export async function approve(client, status, { token, price, priceText }) {
  const call = tokenCall(token, "approve", [site.market, price]);
  // Some tokens change an allowance from and to nothing only.
  if ((await allowanceOf(client, token)) && (await refuses(client, call))) {
    await sendAndWait(client, status, "take back what the market was allowed before", tokenCall(token, "approve", [site.market, 0n]));
  }
  const receipt = await sendAndWait(client, status, `step 1 of 2, let the market take ${priceText}`, call);
  if (receipt.status !== "success" || (await allowanceOf(client, token)) < price) {
    throw new StateError("reverted", "The approval was mined but did not take effect. Nothing was paid; try again.");
  }
}

async function read(client, address, abi, functionName, args = []) {
  try {
    return await readContract(client, { address, abi, functionName, args });
  } catch {
    return null;
  }
}

/** The token's own domain of EIP-712, found by comparing hashes with what the token says; null where it has none. */
async function permitDomain(client, token) {
  const { abi } = tokenCall(token);
  const [separator, described, name, version] = await Promise.all([
    read(client, token, abi, "DOMAIN_SEPARATOR"),
    read(client, token, abi, "eip712Domain"),
    read(client, token, abi, "name"),
    read(client, token, VERSION_ABI, "version"),
  ]);
  if (!separator) return null;
  const common = { chainId: site.chainId, verifyingContract: token };
  const candidates = [
    described && { name: described[1], version: described[2], ...common },
    name !== null && version !== null && { name, version, ...common },
    name !== null && { name, version: "1", ...common },
  ].filter(Boolean);
  return candidates.find((domain) => domainSeparator({ domain }) === separator) ?? null;
}

async function chainTime(client) {
  const { timestamp } = await getBlock(client);
  const here = BigInt(Math.floor(Date.now() / 1000));
  return timestamp > here ? timestamp : here;
}

/**
 * Have the wallet sign a permit of exactly the price. Returns `{deadline, v, r, s}`, or null where the token has no
 * EIP-2612 or the wallet cannot sign typed data: then an approval does the same in a transaction of its own.
 */
export async function permit(client, status, { token, price, priceText }) {
  const domain = await permitDomain(client, token);
  const owner = client.account.address;
  const nonce = domain && (await read(client, token, tokenCall(token).abi, "nonces", [owner]));
  if (!domain || nonce === null) return null;
  const deadline = (await chainTime(client)) + PERMIT_SECONDS;
  const message = { owner, spender: site.market, value: price, nonce, deadline };
  status.show("waiting-for-wallet", `Step 1 of 2: sign in your wallet that the market may take ${priceText}. The signature costs nothing and holds for 20 minutes.`);
  try {
    const signature = await signTypedData(client, { account: client.account, domain, types: { Permit: PERMIT }, primaryType: "Permit", message });
    return split(signature, deadline);
  } catch (error) {
    if (isUnsupported(error)) return null;
    throw error;
  }
}

/** A contract wallet's signature has another length, and an EIP-2612 permit has no room for it: null. */
function split(signature, deadline) {
  if (!/^0x[0-9a-f]{130}$/i.test(signature)) return null;
  const v = parseInt(signature.slice(130), 16);
  return { deadline, v: v < 27 ? v + 27 : v, r: signature.slice(0, 66), s: `0x${signature.slice(66, 130)}` };
}

function isUnsupported(error) {
  for (let at = error, depth = 0; at && depth < 12; at = at.cause, depth += 1) {
    if (UNSUPPORTED.has(at.code)) return true;
  }
  return false;
}
