// A stand-in for a wallet extension, on the development chain only. It announces itself like any wallet (EIP-6963),
// asks in words before it signs, and lets the development node sign: that node holds the keys of its accounts.
import { ask, chooseAccount } from "./lib/demo-dialog.js";
import { describe, describeTyped } from "./lib/demo-describe.js";
import { csrfToken, parse } from "./lib/api.js";

const CHOSEN = "weighhouse.demo-wallet.account";
const ICON = "data:image/svg+xml," + encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#b9841c"/><path d="M7 11h18v13H7zM7 11l13-4v4M21 17h4" fill="none" stroke="#fff" stroke-width="2"/></svg>',
);

function refusal(code, message, data) {
  return Object.assign(new Error(message), { code, data });
}

/** One JSON-RPC call through the site to the development node. */
async function forward(method, params = []) {
  const response = await fetch("/demo/wallet", {
    method: "POST",
    headers: { "X-CSRFToken": csrfToken(), "Content-Type": "application/json" },
    body: JSON.stringify({ method, params }),
    credentials: "same-origin",
  });
  const answer = parse(await response.text());
  if (answer?.error) throw refusal(answer.error.code, answer.error.message, answer.error.data);
  if (!response.ok || !answer) throw refusal(-32603, "The demo wallet could not reach the development chain.");
  return answer.result;
}

async function account() {
  const chosen = localStorage.getItem(CHOSEN);
  const accounts = await forward("eth_accounts");
  return accounts.find((address) => address.toLowerCase() === chosen) ?? null;
}

async function requestAccounts() {
  const address = await chooseAccount(await forward("eth_accounts"), localStorage.getItem(CHOSEN));
  if (!address) throw refusal(4001, "The person closed the demo wallet.");
  localStorage.setItem(CHOSEN, address.toLowerCase());
  return [address];
}

async function confirmed(question, method, params) {
  if (!(await ask(question))) throw refusal(4001, "The person rejected the request.");
  return forward(method, params);
}

function signatureQuestion([message, address]) {
  const bytes = Uint8Array.from(message.slice(2).match(/../g) ?? [], (pair) => parseInt(pair, 16));
  return { title: "Sign this message?", lines: [`Account ${address}`], detail: new TextDecoder().decode(bytes), approve: "Sign" };
}

async function signTyped([address, text]) {
  const typed = typeof text === "string" ? parse(text) : text;
  if (!typed?.types || !typed.domain) throw refusal(-32602, "This is no typed data.");
  return confirmed(describeTyped(address, typed), "eth_signTypedData_v4", [address, JSON.stringify(typed)]);
}

const HANDLERS = {
  eth_requestAccounts: requestAccounts,
  eth_accounts: async () => [await account()].filter(Boolean),
  personal_sign: (params) => confirmed(signatureQuestion(params), "personal_sign", params),
  eth_signTypedData_v4: signTyped,
  eth_sendTransaction: (params) => confirmed(describe(params[0]), "eth_sendTransaction", params),
};

const provider = {
  request: ({ method, params = [] }) => (HANDLERS[method] ? HANDLERS[method](params) : forward(method, params)),
  on: () => provider,
  removeListener: () => provider,
};

const detail = Object.freeze({
  info: Object.freeze({ uuid: crypto.randomUUID(), name: "Demo wallet (development only)", icon: ICON, rdns: "example.weighhouse.demo" }),
  provider,
});
const announce = () => window.dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail }));
window.addEventListener("eip6963:requestProvider", announce);
announce();
