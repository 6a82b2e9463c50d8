// The upload page: a directory goes through the same API as a script's, file by file, with progress.
import { api, csrfToken, parse, ProblemError } from "./lib/api.js";
import { behaviour, element } from "./lib/page.js";
import { Status } from "./lib/status.js";

// The API's names, and the form's.
const METADATA = { name: "name", summary: "summary", task: "task", licence: "licence", library: "library", dtype: "dtype", model: "model_id" };

/** Files with the path they will have in the release: the chosen directory's own name and hidden files drop out. */
function chosenFiles(form) {
  const files = [...form.elements.files.files, ...(form.elements.directory?.files ?? [])];
  return files
    .map((file) => ({ file, path: file.webkitRelativePath ? file.webkitRelativePath.split("/").slice(1).join("/") : file.name }))
    .filter(({ path }) => !path.split("/").some((part) => part.startsWith(".")));
}

function sizeText(bytes) {
  const units = ["B", "kB", "MB", "GB"];
  const step = bytes > 0 ? Math.min(Math.floor(Math.log10(bytes) / 3), units.length - 1) : 0;
  return `${(bytes / 1000 ** step).toFixed(step ? 1 : 0)} ${units[step]}`;
}

function row(list, { path, file }) {
  const progress = element("progress", { max: String(Math.max(file.size, 1)), value: "0", "aria-label": `Progress of ${path}` });
  const state = element("span", { className: "muted number", text: sizeText(file.size) });
  const item = element("li", {}, element("span", { className: "path mono", text: path }), state, progress);
  list.append(item);
  return { item, progress, state };
}

/** Send one file. XMLHttpRequest, because fetch reports no progress of a request's body. */
function put(upload, { path, file }, progress) {
  const url = `/api/v1/uploads/${upload}/files/${path.split("/").map(encodeURIComponent).join("/")}`;
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", url);
    request.setRequestHeader("X-CSRFToken", csrfToken());
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.addEventListener("progress", (event) => (progress.value = event.loaded));
    request.addEventListener("error", () => reject(new TypeError("The connection broke.")));
    request.addEventListener("load", () => {
      if (request.status < 300) resolve();
      else reject(new ProblemError(request.status, parse(request.responseText) ?? {}));
    });
    request.send(file);
  });
}

function explainFile(shown, error) {
  shown.progress.remove();
  shown.item.dataset.state = "refused";
  shown.state.replaceWith(element("span", { className: "badge bad", text: "refused" }));
  shown.item.append(element("span", { className: "field-error", text: error.message }));
}

class Uploader {
  constructor(form) {
    this.form = form;
    this.list = form.querySelector("[data-files]");
    this.status = new Status(form.querySelector("[data-status]"));
    this.button = form.querySelector("button[type=submit]");
    this.upload = null;
    this.metadata = "";
    this.received = new Set();
  }

  /** The draft for this metadata: a second attempt after a broken connection goes on with the first one's. */
  async draft() {
    const given = Object.entries(METADATA).map(([name, field]) => [name, this.form.elements[field]?.value.trim()]);
    const metadata = Object.fromEntries(given.filter(([, value]) => value));
    const text = JSON.stringify(metadata);
    if (this.upload === null || text !== this.metadata) {
      this.upload = (await api("POST", "/api/v1/uploads", metadata)).id;
      this.metadata = text;
      this.received.clear();
    }
    return this.upload;
  }

  async sendAll(files) {
    this.list.replaceChildren();
    let refused = 0;
    for (const [index, entry] of files.entries()) {
      const shown = row(this.list, entry);
      const identity = `${entry.path}\n${entry.file.size}\n${entry.file.lastModified}`;
      try {
        this.status.show("uploading", `Uploading file ${index + 1} of ${files.length}: ${entry.path}`);
        if (!this.received.has(identity)) await put(this.upload, entry, shown.progress);
        this.received.add(identity);
        shown.progress.remove();
        shown.state.textContent = `${sizeText(entry.file.size)}, received`;
      } catch (error) {
        if (!(error instanceof ProblemError) || error.status >= 500 || error.status === 429) throw error;
        refused += 1;
        explainFile(shown, error);
      }
    }
    return refused;
  }

  /** Run `action` with the form's button disabled; say what went wrong, and keep what was received. */
  async guarded(action) {
    this.button.disabled = true;
    try {
      await action();
    } catch (error) {
      const text = error instanceof ProblemError ? error.message : "The connection to the site broke. What was received is kept; press the button to go on.";
      this.status.show("failed", text);
    } finally {
      this.button.disabled = false;
    }
  }

  async run() {
    const files = chosenFiles(this.form);
    if (!files.length) {
      this.status.show("failed", "Choose the model's directory or its files first.");
      return;
    }
    await this.draft();
    const refused = await this.sendAll(files);
    if (refused) {
      const text = `${refused} of ${files.length} files were refused, for the reasons below. Nothing was published. Mend them, choose the files again and upload once more, or leave them out.`;
      const goOn = element("button", { type: "button", className: "small outline", text: "Go on without the refused files" });
      goOn.addEventListener("click", () => this.guarded(() => this.submit()));
      this.status.show("failed", text, goOn);
      return;
    }
    await this.submit();
  }

  async submit() {
    this.status.show("checking", "All files received. Building the release.");
    const release = await api("POST", "/api/v1/releases", { upload: this.upload });
    window.location.assign(`/publish/${release.digest}/`);
  }
}

behaviour("form[data-upload]", (form) => {
  const uploader = new Uploader(form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    uploader.guarded(() => uploader.run());
  });
});
