// The calls that people sign, built here from the contracts' committed ABI.
import { abi as marketAbi } from "../../../chain/contracts/abi/LicenceMarket.json";
import { abi as registryAbi } from "../../../chain/contracts/abi/ModelRegistry.json";
import { abi as tokenAbi } from "../../../chain/contracts/abi/TestUSD.json";
import { site } from "./page.js";

export { marketAbi, registryAbi, tokenAbi };
export const NATIVE = "0x0000000000000000000000000000000000000000";

export function marketCall(functionName, args, value) {
  return { address: site.market, abi: marketAbi, functionName, args, ...(value ? { value } : {}) };
}

export function registryCall(functionName, args) {
  return { address: site.registry, abi: registryAbi, functionName, args };
}

export function tokenCall(address, functionName, args) {
  return { address, abi: tokenAbi, functionName, args };
}
