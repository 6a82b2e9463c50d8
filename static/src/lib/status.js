// One line of words about where something stands, announced to screen readers.
import { element } from "./page.js";

const LIVE = new Set(["connecting", "checking", "waiting-for-wallet", "sent", "mined", "uploading"]);
const LOOK = { seen: "ok", done: "ok", rejected: "warn", "wrong-chain": "warn", "wrong-account": "warn", "no-wallet": "warn", reverted: "bad", failed: "bad", unknown: "warn" };

export class Status {
  constructor(box) {
    this.box = box;
    box.classList.add("status-box");
    if (!box.hasAttribute("aria-live")) box.setAttribute("aria-live", "polite");
  }

  /** `state` is a word for tests and styles, `text` a sentence for people, `nodes` what they can do about it. */
  show(state, text, ...nodes) {
    this.box.dataset.state = state;
    const look = LIVE.has(state) ? "live" : (LOOK[state] ?? "");
    const line = element("p", { className: `progress-line ${look}` }, element("span", { text }));
    this.box.replaceChildren(line);
    if (nodes.length) this.box.append(element("div", { className: "actions row-actions" }, ...nodes));
  }

  clear() {
    delete this.box.dataset.state;
    this.box.replaceChildren();
  }

  /** Show the text with a button, and wait until it is pressed. */
  ask(state, text, label) {
    return new Promise((resolve) => {
      const button = element("button", { type: "button", className: "small", text: label });
      button.addEventListener("click", resolve, { once: true });
      this.show(state, text, button);
      button.focus();
    });
  }
}
