// What the server told this page about itself, in data- attributes of <html>.

const data = document.documentElement.dataset;

export const site = {
  chainId: Number(data.chainId),
  chainName: data.chainName,
  registry: data.registry,
  market: data.market,
  usd: data.usd || null,
  account: data.account || null,
};

/** Run `wire(element)` for each element that asks for this behaviour, now and in fragments that htmx adds later. */
export function behaviour(selector, wire) {
  const wireAll = (root) => {
    for (const element of root.querySelectorAll(selector)) {
      if (element.dataset.wired === undefined) {
        element.dataset.wired = "";
        wire(element);
      }
    }
  };
  wireAll(document);
  document.addEventListener("htmx:load", (event) => wireAll(event.target.parentElement ?? document));
}

export function shortHex(text) {
  return text.length > 14 ? `${text.slice(0, 6)}…${text.slice(-4)}` : text;
}

export function sameAddress(left, right) {
  return Boolean(left && right) && left.toLowerCase() === right.toLowerCase();
}

/** An element with text content; nothing is ever parsed as HTML. */
export function element(tag, { text, className, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
