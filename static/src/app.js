// Every page: htmx and two small conveniences.
import htmx from "htmx.org";
import "./behaviours/copy.js";
import "./behaviours/menu.js";

document.documentElement.classList.add("js");
window.htmx = htmx;
