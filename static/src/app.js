// Every page: htmx and a few small conveniences.
import htmx from "htmx.org";
import "./behaviours/copy.js";
import "./behaviours/menu.js";
import "./behaviours/refusals.js";

document.documentElement.classList.add("js");
window.htmx = htmx;
