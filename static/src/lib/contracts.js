// The calls that people sign, built here from the contracts' committed ABI.
import { abi as marketAbi } from "../../../chain/contracts/abi/LicenceMarket.json";
import { abi as registryAbi } from "../../../chain/contracts/abi/ModelRegistry.json";
import { abi as tokenAbi } from "../../../chain/contracts/abi/TestUSD.json";
import { site } from "./page.js";

export { marketAbi, registryAbi, tokenAbi };
export const NATIVE = "0x0000000000000000000000000000000000000000";

const CONTRACTS = { market: marketAbi, registry: registryAbi };
// A token's refusal reaches the caller through the market, so all errors are looked for everywhere.
const ERRORS = [...marketAbi, ...registryAbi, ...tokenAbi].filter(({ type }) => type === "error");

function withErrors(abi) {
  return [...abi.filter(({ type }) => type !== "error"), ...ERRORS];
}

// Some tokens return nothing from `approve`. What they say is not relied on: the allowance is read afterwards.
const LENIENT = tokenAbi.map((item) => (item.name === "approve" ? { ...item, outputs: [] } : item));
const WHOLE = { market: withErrors(marketAbi), registry: withErrors(registryAbi), token: withErrors(LENIENT) };

export function marketCall(functionName, args, value) {
  return { address: site.market, abi: WHOLE.market, functionName, args, ...(value ? { value } : {}) };
}

export function registryCall(functionName, args) {
  return { address: site.registry, abi: WHOLE.registry, functionName, args };
}

export function tokenCall(address, functionName, args) {
  return { address, abi: WHOLE.token, functionName, args };
}

/** An argument as the encoder wants it: the page writes integers as decimal strings. */
function typed({ type, components }, value) {
  if (type.endsWith("[]")) return value.map((item) => typed({ type: type.slice(0, -2), components }, item));
  if (type === "tuple") return Object.fromEntries(components.map((part) => [part.name, typed(part, value[part.name])]));
  return /^u?int/.test(type) ? BigInt(value) : value;
}

/** A call that the server wrote into the page: `contract` is market or registry. */
export function callOf({ contract, name, args, value = "0" }) {
  const { inputs } = CONTRACTS[contract].find((item) => item.type === "function" && item.name === name);
  const values = inputs.map((input, place) => typed(input, args[place]));
  return contract === "market" ? marketCall(name, values, BigInt(value)) : registryCall(name, values);
}
