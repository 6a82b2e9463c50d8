// A menu closes when the person presses Escape or clicks elsewhere.
import { behaviour } from "../lib/page.js";

behaviour("details.menu", (menu) => {
  document.addEventListener("click", (event) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
});
