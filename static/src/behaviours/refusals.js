// What htmx does with answers that are not the fragment it asked for.

/** A whole page instead of a fragment: the session ended, or the form's token did. */
function isPage(detail) {
  return !detail.requestConfig.elt.hasAttribute("hx-select") && /^\s*<!doctype/i.test(detail.xhr.responseText);
}

function say(target, text) {
  const note = document.createElement("p");
  note.className = "field-error";
  note.setAttribute("role", "alert");
  note.textContent = text;
  target.replaceChildren(note);
}

document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (isPage(detail)) {
    detail.shouldSwap = false;
    const { pathname } = new URL(detail.xhr.responseURL, window.location.href);
    const here = window.location.pathname + window.location.search;
    if (pathname === "/sign-in/") window.location.assign(`/sign-in/?next=${encodeURIComponent(here)}`);
    else say(detail.target, "This form has expired. Nothing was sent; reload the page and try again.");
    return;
  }
  // A refusal shows where the result would have been. A poll that fails changes nothing, and goes on.
  const isHtml = (detail.xhr.getResponseHeader("Content-Type") ?? "").startsWith("text/html");
  if (detail.xhr.status >= 400 && isHtml && detail.requestConfig.verb !== "get") {
    detail.shouldSwap = true;
    detail.isError = false;
  }
});

document.addEventListener("htmx:sendError", ({ detail }) => {
  if (detail.requestConfig.verb !== "get") say(detail.target, "The site cannot be reached. Nothing was sent; try again.");
});
