// The HTTP API as the page calls it. The key, where one is needed, lives as long as the tab.
import { presence } from "./presence.js";

const KEY = "kedja-key";

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The service answered ${status}.`);
    this.status = status;
    this.whatToDo = body.what_to_do || "";
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY) || "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

export async function fetched(path, { method = "GET", body, headers = {}, signal } = {}) {
  const sent = { accept: "application/json", ...headers };
  if (key.get()) sent["X-Kedja-Key"] = key.get();
  if (body !== undefined) sent["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers: sent, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "The service does not answer.", what_to_do: "Check that it is running, then try again." });
  }
  if (answer.ok || answer.status === 304) return answer;
  const text = await answer.text();
  let problem = { detail: text.slice(0, 300) };
  try {
    problem = JSON.parse(text);
  } catch {
    // Something between here and the service answered: its words are shown as they are.
  }
  if (answer.status === 401) dispatchEvent(new CustomEvent("kedja:unauthenticated", { detail: problem }));
  throw new Problem(answer.status, problem);
}

export const call = async (path, options) => (await fetched(path, options)).json();

export const query = (values) => {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
};

// Yield {event, id, data} for ever: `start` before all that changes from then on, and `failed` where there was no answer.
// Each answer holds what was new within some seconds and then ends, in the shape of server-sent events; EventSource
// itself could not send the key. While nobody looks at the page nothing is asked; then it continues from the last id.
export async function* followed(path, signal, last) {
  let pause = 1000;
  for (;;) {
    await presence(signal);
    if (signal.aborted) return;
    let failed = false;
    try {
      const answer = await fetched(path, {
        signal,
        headers: { accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) },
      });
      for (const message of messages(await answer.text())) {
        if (message.id !== undefined) last = message.id;
        if (message.retry) pause = message.retry;
        if (message.data !== undefined) yield message;
        if (message.event === "end") return;
      }
    } catch (error) {
      if (signal.aborted) return;
      yield { event: "failed" };
      if (error.status === 401 || error.status === 404) return;
      failed = true;
    }
    await new Promise((resolve) => setTimeout(resolve, failed ? 5000 : pause));
  }
}

// https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
export function messages(text) {
  const blocks = text.replaceAll("\r\n", "\n").split("\n\n").filter(Boolean);
  return blocks.map((block) => {
    const message = { event: "message" };
    for (const line of block.split("\n")) {
      const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
      if (name === "data") message.data = message.data === undefined ? value : `${message.data}\n${value}`;
      else if (name === "event") message.event = value;
      else if (name === "id") message.id = value;
      else if (name === "retry") message.retry = Number(value);
    }
    return message;
  });
}
