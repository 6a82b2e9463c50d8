// Sign-in with Ethereum (EIP-4361): the site writes the message, the wallet signs it, the site checks it.
import { signMessage } from "viem/actions";
import { api } from "../lib/api.js";
import { explain } from "../lib/errors.js";
import { behaviour } from "../lib/page.js";
import { walletButtons, watchWallets } from "../lib/providers.js";
import { Status } from "../lib/status.js";
import { connect } from "../lib/wallet.js";

async function signIn(wallet, status, next) {
  const { client, account } = await connect({ status, wallet });
  const { message } = await api("GET", `/api/v1/session/nonce?address=${account}`);
  status.show("waiting-for-wallet", "Read the message in your wallet and sign it. Signing in costs nothing.");
  const signature = await signMessage(client, { account, message });
  status.show("checking", "Checking the signature.");
  await api("POST", "/api/v1/session", { message, signature });
  status.show("done", "Signed in.");
  window.location.assign(next);
}

behaviour("[data-sign-in]", (section) => {
  const status = new Status(section.querySelector("[data-status]"));
  const wallets = section.querySelector("[data-wallets]");
  const none = section.querySelector("[data-no-wallet]");
  const choose = async (wallet) => {
    try {
      await signIn(wallet, status, section.dataset.next);
    } catch (error) {
      const { state, text } = explain(error);
      status.show(state, text.replace("Nothing was sent and nothing was paid.", "You are not signed in; try again when you like."));
    }
  };
  watchWallets(() => {
    walletButtons(wallets, choose);
    none.hidden = wallets.childElementCount > 0;
  });
});
