// The part of the address after `#`: `#/drops/<experiment>/<drop>`, `#/?experiment=digits`.

// Return {parts, values}: the names between the slashes, and what stands after the question mark.
export function address() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { parts: path.split("/").filter(Boolean).map(decoded), values: Object.fromEntries(new URLSearchParams(search)) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // an address that somebody typed
  }
}

// Change what stands after the question mark, without a step in the history.
export function setValues(values) {
  const given = Object.entries(values).filter(([, value]) => value);
  const search = given.length ? `?${new URLSearchParams(given)}` : "";
  history.replaceState(history.state, "", `${location.hash.split("?")[0] || "#/"}${search}`);
  dispatchEvent(new Event("kedja:address"));
}

export const dropAddress = (experiment, drop) => `#/drops/${encodeURIComponent(experiment)}/${drop}`;
export const modelAddress = (model) => `#/models/${encodeURIComponent(model)}`;
