// A taken folder on its way into storage: which of its files are there, how far the others are, and what stopped it.
import { call } from "./api.js";
import { put } from "./put.js";

const AT_ONCE = 6;
const NAMES_AT_ONCE = 500;

export class Upload {
  state = "ready"; // then "running"; "stopped", which may run again; "finished"
  problem = null;
  #there = new Set();
  #sent = new Map();
  #stop = null;
  #told;

  // `told` is called at each change. `number` tells one taken folder from the next.
  constructor(number, { folder, files }, told) {
    // Scripts go last, so that a folder is not taken for complete while its data is still on the way.
    const order = ({ container }) => (container === "scripts" ? 1 : 0);
    Object.assign(this, { number, name: folder, files: [...files].sort((a, b) => order(a) - order(b)) });
    this.#told = told;
  }

  get size() {
    return this.files.reduce((sum, { file }) => sum + file.size, 0);
  }

  get sent() {
    return [...this.#sent.values()].reduce((sum, size) => sum + size, 0);
  }

  get done() {
    return this.#there.size;
  }

  // Send what is not there yet. The first failure stops all of it; so does `cancel`.
  async run(name) {
    this.#stop = new AbortController();
    this.#change({ name, state: "running", problem: null });
    try {
      const left = this.files.filter((one) => !this.#there.has(one));
      for (let start = 0; start < left.length; start += NAMES_AT_ONCE) await this.#sendAll(left.slice(start, start + NAMES_AT_ONCE));
      this.#change({ state: "finished" });
    } catch (problem) {
      for (const one of this.#sent.keys()) if (!this.#there.has(one)) this.#sent.delete(one);
      this.#change({ state: "stopped", problem: problem.name === "AbortError" ? null : problem });
    }
  }

  cancel() {
    this.#stop.abort();
  }

  async #sendAll(files) {
    const stop = this.#stop;
    const { items } = await call(`/api/experiments/${encodeURIComponent(this.name)}/uploads`, {
      method: "POST",
      body: { files: files.map(({ container, name, file }) => ({ container, name, size: file.size })) },
      signal: stop.signal,
    });
    const links = new Map(items.map((item) => [`${item.container}/${item.name}`, item]));
    const queue = files.values();
    const work = async () => {
      for (const one of queue) {
        await put(links.get(`${one.container}/${one.name}`), one.file, stop.signal, (size) => this.#count(one, size));
        this.#there.add(one);
        this.#count(one, one.file.size);
      }
    };
    const workers = Array.from({ length: AT_ONCE }, work);
    try {
      await Promise.all(workers);
    } catch (problem) {
      stop.abort();
      await Promise.allSettled(workers);
      throw problem;
    }
  }

  #count(one, size) {
    this.#sent.set(one, size);
    this.#told();
  }

  #change(values) {
    Object.assign(this, values);
    this.#told();
  }
}
