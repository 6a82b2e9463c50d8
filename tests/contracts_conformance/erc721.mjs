// Runs @nibbstack/erc721-validator on one token of a contract and prints {"basic": [...], "token": [...], "transfer":
// [...]}: for each of its cases, in its order, whether the case went through (a case that must throw answers false).
//
//   node erc721.mjs <RPC URL> <contract> <token id> <giver> <rich account>
//
// The token is the giver's, a contract `Giver` of the validator. The rich account has more than a million coins.
import { createRequire } from "node:module";
import { encodeDeployData } from "viem";

const { ERC721Validator } = createRequire(import.meta.url)("@nibbstack/erc721-validator");
const CASES = { basic: 10, token: 3, transfer: 14 };

const [url, contract, tokenId, giver, rich] = process.argv.slice(2);

/** The one thing that the validator wants of web3: the gas of a deployment, or the node's error. */
class Contract {
  constructor(abi) {
    this.abi = abi;
  }

  deploy({ data, arguments: args }) {
    const code = encodeDeployData({ abi: this.abi, bytecode: `0x${data}`, args: args.map(withPrefix) });
    return {
      estimateGas: async (options, callback = options) => {
        const value = `0x${BigInt(options.value ?? 0).toString(16)}`;
        const answer = await request("eth_estimateGas", [{ from: options.from, value, data: code }]);
        callback(answer.error && new Error(answer.error.message), answer.result);
      },
    };
  }
}

/** Ids come as decimal text, cases as numbers, addresses as hex. */
function withPrefix(value) {
  return String(value).startsWith("0x") ? value : BigInt(value);
}

async function request(method, params) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
  if (!response.ok) throw new Error(`${method}: HTTP ${response.status}`);
  return response.json();
}

const validator = new ERC721Validator({ eth: { Contract } }, rich);
const subject = { basic: [contract], token: [contract, tokenId], transfer: [contract, tokenId, giver] };
const results = {};
for (const [group, count] of Object.entries(CASES)) {
  results[group] = [];
  for (let number = 1; number <= count; number += 1) {
    const { result } = await validator[group](number, ...subject[group]);
    results[group].push(result);
  }
}
console.log(JSON.stringify(results));
