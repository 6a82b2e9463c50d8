// Sending one transaction. What it did is for the indexer to say, not for this script.
import { simulateContract, writeContract } from "viem/actions";
import { api } from "./api.js";
import { explain } from "./errors.js";
import { shortHex, site } from "./page.js";
import { connect } from "./wallet.js";

/**
 * Try the call, then let the wallet sign and send it. Returns the transaction's hash.
 * The trial decodes the reason of a revert before anybody pays for one.
 */
export async function send({ client, status, what, call }) {
  status.show("checking", `Checking with the contract: ${what}.`);
  const { request } = await simulateContract(client, { account: client.account, ...call });
  status.show("waiting-for-wallet", `Confirm in your wallet: ${what}.`);
  const hash = await writeContract(client, request);
  status.show("sent", `Sent as transaction ${shortHex(hash)}. Waiting for a block.`);
  return hash;
}

/** Put the server's fragment that follows this transaction into the status box; htmx keeps it fresh. */
export function follow(status, url) {
  status.box.dataset.state = "following";
  return window.htmx.ajax("GET", url, { target: status.box, swap: "innerHTML" });
}

/** Run `action(client)` for the signed-in account behind a button, with every refusal explained in the box. */
export async function withWallet({ button, status, action }) {
  button.disabled = true;
  try {
    const { client } = await connect({ status, account: site.account });
    await action(client);
  } catch (error) {
    const { state, text } = explain(error);
    status.show(state, text);
  } finally {
    button.disabled = false;
  }
}

export { api };
