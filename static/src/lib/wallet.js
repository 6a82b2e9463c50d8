// Connecting a wallet: which one, which account, which chain.
import { createClient, custom } from "viem";
import { StateError } from "./errors.js";
import { sameAddress, shortHex, site } from "./page.js";
import { pickWallet, remember } from "./providers.js";

const NO_WALLET =
  "No wallet was found in this browser. Install a wallet that announces itself to pages (EIP-6963), then reload this page.";

function chain() {
  return {
    id: site.chainId,
    name: site.chainName,
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: [] } },
  };
}

async function currentChain(provider) {
  return Number(await provider.request({ method: "eth_chainId" }));
}

/** Wait until the wallet is on the site's chain: offer to switch, as often as the person wants to try. */
async function ensureChain(provider, status) {
  for (let actual = await currentChain(provider); actual !== site.chainId; actual = await currentChain(provider)) {
    await status.ask(
      "wrong-chain",
      `Your wallet is on chain ${actual}. This site works with ${site.chainName} (chain ${site.chainId}). Nothing was sent.`,
      `Switch to chain ${site.chainId}`,
    );
    status.show("waiting-for-wallet", `Confirm the switch to chain ${site.chainId} in your wallet.`);
    try {
      await provider.request({ method: "wallet_switchEthereumChain", params: [{ chainId: `0x${site.chainId.toString(16)}` }] });
    } catch (error) {
      if (error.code === 4902) {
        throw new StateError("wrong-chain", `Your wallet does not know chain ${site.chainId}. Add ${site.chainName} in the wallet's settings, then try again.`);
      }
      throw error;
    }
  }
}

/** The account to act for. A wallet that offers the expected one already is not asked again. */
async function chooseAccount({ name, provider }, expected, status) {
  const isExpected = (offered) => sameAddress(offered, expected);
  const offered = expected ? (await provider.request({ method: "eth_accounts" })).find(isExpected) : null;
  if (offered) return offered;
  status.show("connecting", `Waiting for ${name}: choose the account in your wallet.`);
  const accounts = await provider.request({ method: "eth_requestAccounts" });
  if (!accounts?.length) throw new StateError("wrong-account", `${name} offers no account. Unlock it and try again.`);
  const account = expected ? accounts.find(isExpected) : accounts[0];
  if (account) return account;
  throw new StateError(
    "wrong-account",
    `You are signed in as ${shortHex(expected)}, but your wallet offers ${shortHex(accounts[0])}. ` +
      "Choose the signed-in account in your wallet, or sign out and in again with the other one.",
  );
}

/**
 * A viem client on the chosen wallet and account.
 * Throws StateError with state `no-wallet`, `wrong-account` or `wrong-chain`, and the wallet's own errors.
 */
export async function connect({ status, wallet, account: expected }) {
  const chosen = wallet ?? (await pickWallet(status));
  if (!chosen) throw new StateError("no-wallet", NO_WALLET);
  const account = await chooseAccount(chosen, expected, status);
  await ensureChain(chosen.provider, status);
  remember(chosen);
  const client = createClient({ account, chain: chain(), transport: custom(chosen.provider, { retryCount: 0 }), pollingInterval: 500 });
  return { client, account, provider: chosen.provider };
}
