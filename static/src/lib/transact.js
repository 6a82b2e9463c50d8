// Sending one transaction. What it did is for the indexer to say, not for this script.
import { estimateContractGas, simulateContract, writeContract } from "viem/actions";
import { ProblemError } from "./api.js";
import { explain } from "./errors.js";
import { Intent } from "./orders.js";
import { shortHex, site } from "./page.js";
import { connect } from "./wallet.js";

/**
 * Gas for the call in a block to come. What a call costs depends on its block's time: a moment later something has
 * vested that had not when it was tried, and is written where nothing was. An estimate without room would run out.
 * What is not used is not paid.
 */
async function gasFor(client, call) {
  const estimate = await estimateContractGas(client, { account: client.account, ...call });
  return estimate + estimate / 4n + 60_000n;
}

/**
 * Try the call, then let the wallet sign and send it. Returns the transaction's hash.
 * The trial decodes the reason of a revert before anybody pays for one. `intent` is noted before the wallet opens.
 */
export async function send({ client, status, what, call, intent }) {
  status.show("checking", `Checking with the contract: ${what}.`);
  const { request } = await simulateContract(client, { account: client.account, ...call });
  const gas = await gasFor(client, call);
  await intent?.open();
  status.show("waiting-for-wallet", `Confirm in your wallet: ${what}.`);
  // The trial's request keeps the function alone; the errors are needed to read what a wallet is refused with.
  const hash = await writeContract(client, { ...request, abi: call.abi, gas }).catch(async (error) => {
    await intent?.failed(error);
    throw error;
  });
  status.show("sent", `Sent as transaction ${shortHex(hash)}. Waiting for a block.`);
  return hash;
}

/**
 * Send as an order of this account, and put the server's fragment that follows it into the box. htmx keeps the fragment
 * fresh; it says "done" only when the indexer saw the log. `about` is `{kind, plan?, licence?}`.
 */
export async function order({ client, status, what, call, about }) {
  const intent = new Intent(about);
  const hash = await send({ client, status, what, call, intent });
  try {
    const id = await intent.sent(hash);
    status.box.dataset.state = "following";
    await window.htmx.ajax("GET", `/orders/${id}/state/`, { target: status.box, swap: "innerHTML" });
  } catch (error) {
    // The money is on its way already: say so, whatever kept the site from noting it.
    const why = error instanceof ProblemError ? error.message : "The site could not be reached.";
    status.show("unknown", `Sent as transaction ${hash}, but this page cannot follow it: ${why} Do not send it again; reload the page in a minute.`);
  }
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
