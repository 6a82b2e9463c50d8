// A refused request answers with a fragment that says why: show it where the result would have been.
// A poll that fails changes nothing, so that it goes on when the site answers again.

document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const isHtml = (detail.xhr.getResponseHeader("Content-Type") ?? "").startsWith("text/html");
  if (detail.xhr.status >= 400 && isHtml && detail.requestConfig.verb !== "get") {
    detail.shouldSwap = true;
    detail.isError = false;
  }
});

document.addEventListener("htmx:sendError", ({ detail }) => {
  if (detail.requestConfig.verb === "get") return;
  const note = document.createElement("p");
  note.className = "field-error";
  note.textContent = "The site cannot be reached. Nothing was sent; try again.";
  detail.target.replaceChildren(note);
});
