// One file on its way to storage, by the link that the service gave for it.
const TRIES = 4;
// What a link that only creates answers where an earlier try did arrive, and only its answer was lost.
const IS_THERE = new Set(["BlobAlreadyExists", "UnauthorizedBlobOverwrite"]);

// Send the file; `told` hears how many of its bytes are gone. Throws where storage refuses it, or `signal` is aborted.
export async function put(link, file, signal, told) {
  if (!link.url) return; // the same file is there already
  for (let tries = 1; ; tries += 1) {
    const { status, code } = await sent(link, file, signal, told);
    if (status >= 200 && status < 300) return;
    if (tries > 1 && IS_THERE.has(code)) return;
    if (tries >= TRIES || (status && status < 500 && status !== 408 && status !== 429)) throw refused(link, status, code);
    told(0);
    await pause(500 * 2 ** tries, signal);
  }
}

const refused = (link, status, code) =>
  status
    ? Object.assign(new Error(`Storage refused ${link.name}: ${status} ${code}`.trim()), { whatToDo: "Continue sends what is missing once more." })
    : Object.assign(new Error(`Storage does not answer; ${link.name} was not uploaded.`), { whatToDo: "Check the network, then continue." });

// `fetch` cannot say how far a body is. Storage computes the hash of what comes in one request.
const sent = (link, file, signal, told) =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const give = () => request.abort();
    const done = () => {
      signal.removeEventListener("abort", give);
      const [, code = ""] = /^x-ms-error-code: *(\S+)/im.exec(request.getAllResponseHeaders()) || [];
      resolve({ status: request.status, code });
    };
    if (signal.aborted) return reject(signal.reason);
    request.open(link.method, link.url);
    for (const [name, value] of Object.entries(link.headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => told(event.loaded);
    request.onload = request.onerror = done;
    request.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", give, { once: true });
    return request.send(file);
  });

const pause = (milliseconds, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
