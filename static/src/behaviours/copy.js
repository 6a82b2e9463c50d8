// Copies a hash, an address or a result that the page shows in part.
import { behaviour } from "../lib/page.js";

behaviour("button[data-copy]", (button) => {
  const label = button.textContent;
  button.addEventListener("click", async () => {
    const source = button.dataset.copyFrom;
    const text = source ? document.getElementById(source).textContent : button.dataset.copy;
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = label), 1500);
  });
});
