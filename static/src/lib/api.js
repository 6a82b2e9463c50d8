// Calls to the site's own API, with its CSRF token and its problem details (RFC 9457).

export function csrfToken() {
  return document.querySelector('meta[name="csrf-token"]').content;
}

/** A refusal by the API: `message` is the sentence to show, `problem` the whole document. */
export class ProblemError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `The site answered with status ${status}. Try again.`);
    this.name = "ProblemError";
    this.status = status;
    this.problem = problem;
  }
}

/** Throws ProblemError on a refusal, TypeError when the site cannot be reached. */
export async function api(method, path, body) {
  const response = await fetch(path, {
    method,
    headers: { "X-CSRFToken": csrfToken(), Accept: "application/json", "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
    credentials: "same-origin",
    // What a wallet answered still gets there when the page is closed at that moment.
    keepalive: method === "PATCH",
  });
  const text = await response.text();
  const parsed = parse(text);
  if (!response.ok) throw new ProblemError(response.status, parsed ?? {});
  return parsed;
}

export function parse(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}
