// Orders: what is about to be sent is noted before the wallet opens, so that it is found again if the page is closed.
import { api, ProblemError } from "./api.js";
import { explain } from "./errors.js";

/** `{kind, plan?, licence?}` as the API takes it. */
function bodyOf({ kind, plan, licence }) {
  return { kind, ...(plan ? { plan: String(plan) } : {}), ...(licence ? { licence: String(licence) } : {}) };
}

/** Something that the account is about to send. Where the site cannot note it, the wallet opens all the same. */
export class Intent {
  constructor(about) {
    this.body = bodyOf(about);
    this.id = null;
  }

  /** Note it before the wallet is asked. */
  async open() {
    try {
      this.id = (await api("POST", "/api/v1/orders", this.body)).id;
    } catch {
      this.id = null;
    }
  }

  /** The wallet did not answer with a hash. Only what was rejected, or refused by the contract, is surely not sent. */
  async failed(error) {
    if (!this.id || !["rejected", "reverted"].includes(explain(error).state)) return;
    await api("PATCH", `/api/v1/orders/${this.id}`, { rejected: true }).catch(() => null);
  }

  /** The order's id, once the site knows the hash. Throws what `api` throws. */
  async sent(hash) {
    if (!this.id) return (await api("POST", "/api/v1/orders", { ...this.body, tx_hash: hash })).id;
    try {
      return (await api("PATCH", `/api/v1/orders/${this.id}`, { tx_hash: hash })).id;
    } catch (error) {
      // A wallet that was asked twice may answer with the hash of another order: then that one is followed.
      if (!(error instanceof ProblemError) || error.status !== 409) throw error;
      return (await api("POST", "/api/v1/orders", { ...this.body, tx_hash: hash })).id;
    }
  }
}
