"""A wallet of another maker, on a chain of its own choice: what the demo wallet never does."""

RDNS = "example.other.wallet"

# It signs through the site's demo endpoint, because the policy lets a page reach nothing else.
OTHER_WALLET = """
(() => {
  const state = { chain: CHAIN, account: "ACCOUNT" };
  const call = async (method, params) => {
    const token = document.querySelector('meta[name="csrf-token"]').content;
    const response = await fetch("/demo/wallet", {
      method: "POST",
      headers: { "X-CSRFToken": token, "Content-Type": "application/json" },
      body: JSON.stringify({ method, params }),
    });
    const answer = await response.json();
    if (answer.error) throw Object.assign(new Error(answer.error.message), { code: answer.error.code });
    return answer.result;
  };
  const own = {
    eth_chainId: () => "0x" + state.chain.toString(16),
    eth_accounts: () => [state.account],
    eth_requestAccounts: () => [state.account],
    ...(TYPES
      ? {}
      : { eth_signTypedData_v4: () => { throw Object.assign(new Error("Method not supported"), { code: 4200 }); } }),
    wallet_switchEthereumChain: ([{ chainId }]) => {
      if (!KNOWS) throw Object.assign(new Error("Unrecognized chain ID"), { code: 4902 });
      state.chain = Number(chainId);
      return null;
    },
  };
  const provider = {
    request: async ({ method, params = [] }) => (own[method] ? own[method](params) : call(method, params)),
    on: () => provider,
    removeListener: () => provider,
  };
  const uuid = "5b2c1a3e-0000-4000-8000-000000000001";
  const info = { uuid, name: "Other wallet", icon: "https://evil.example/i.png", rdns: "RDNS" };
  const announce = () =>
    window.dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail: Object.freeze({ info, provider }) }));
  window.addEventListener("eip6963:requestProvider", announce);
})();
"""


def other_wallet(account: str, *, chain: int, knows: bool, types: bool = True) -> str:
    """The script of a wallet that holds `account`, is on `chain`, knows the site's chain or does not, and signs typed
    data (EIP-712) or does not."""
    script = OTHER_WALLET.replace("CHAIN,", f"{chain},").replace("ACCOUNT", account).replace("RDNS", RDNS)
    return script.replace("KNOWS", "true" if knows else "false").replace("TYPES", "true" if types else "false")
