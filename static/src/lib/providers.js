// Wallets announce themselves to the page (EIP-6963). What they announce is untrusted text.
import { element } from "./page.js";

const REMEMBERED = "weighhouse.wallet";
const found = new Map();
const watchers = new Set();

window.addEventListener("eip6963:announceProvider", (event) => {
  const { info, provider } = event.detail ?? {};
  if (!info?.uuid || typeof provider?.request !== "function" || found.has(info.uuid)) return;
  found.set(info.uuid, { rdns: String(info.rdns), name: String(info.name).slice(0, 60), icon: String(info.icon), provider });
  for (const watcher of watchers) watcher();
});

/** Ask wallets to announce themselves again, for those that loaded before this page listened. */
export function discover() {
  window.dispatchEvent(new Event("eip6963:requestProvider"));
  return [...found.values()];
}

/** Call `watcher` now and whenever another wallet appears. */
export function watchWallets(watcher) {
  watchers.add(watcher);
  discover();
  watcher();
}

export function remember(wallet) {
  localStorage.setItem(REMEMBERED, wallet.rdns);
}

function walletButton(wallet) {
  const button = element("button", { type: "button", className: "outline", "data-wallet": wallet.rdns });
  // Only an image inside the announcement itself: a remote one would tell a stranger who visits.
  if (/^data:image\/(png|svg\+xml|webp|gif|jpeg)[;,]/.test(wallet.icon)) {
    button.append(element("img", { src: wallet.icon, alt: "" }));
  }
  button.append(element("span", { text: wallet.name }));
  return button;
}

/** Buttons for all wallets in `box`; `choose(wallet)` when one is pressed. */
export function walletButtons(box, choose) {
  box.replaceChildren(
    ...discover().map((wallet) => {
      const button = walletButton(wallet);
      button.addEventListener("click", () => choose(wallet));
      return button;
    }),
  );
}

/** The wallet used before, or the only one; otherwise the person chooses. Null when there is none. */
export async function pickWallet(status) {
  const wallets = discover();
  const known = wallets.find((wallet) => wallet.rdns === localStorage.getItem(REMEMBERED));
  if (known || wallets.length < 2) return known ?? wallets[0] ?? null;
  return new Promise((resolve) => {
    const box = element("div", { className: "wallets" });
    walletButtons(box, resolve);
    status.show("choose-wallet", "Which wallet do you want to use?", box);
  });
}
