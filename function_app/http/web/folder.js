// A dropped or chosen folder as a list of files, each with the container it belongs into.
const SCRIPT = /\.(py|ipynb|ya?ml|toml|cfg|ini|sh)$|(^|\/)requirements[^/]*\.txt$/i;
const IGNORED = /(^|\/)(\.[^/]*|__pycache__|~[^/]*|[^/]*(~|\.te?mp|\.part(ial)?|\.swp))(\/|$)/;

// Return {folder, files: [{container, name, file}]}. `entries` are [{path, file}], paths with the folder in front.
export function sorted(entries) {
  const kept = entries.filter(({ path }) => !IGNORED.test(path));
  const tops = new Set(kept.map(({ path }) => path.split("/")[0]));
  const folder = tops.size === 1 && kept.every(({ path }) => path.includes("/")) ? [...tops][0] : "";
  const inside = kept.map(({ path, file }) => ({ name: folder ? path.slice(folder.length + 1) : path, file }));
  const apart = inside.some(({ name }) => /^(data|scripts)\//.test(name));
  const files = inside.map(({ name, file }) => {
    const [, container, rest] = (apart && /^(data|scripts)\/(.+)$/.exec(name)) || [];
    return container ? { container, name: rest, file } : { container: SCRIPT.test(name) ? "scripts" : "data", name, file };
  });
  return { folder, files };
}

export const ofInput = (input) =>
  [...input.files].map((file) => ({ path: file.webkitRelativePath || file.name, file }));

export async function ofTransfer(transfer) {
  // Entries are gone once the event is over, so all are taken before anything is awaited.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const found = [];
  for (const entry of entries) await walk(entry, "", found);
  return found;
}

async function walk(entry, above, found) {
  const path = `${above}${entry.name}`;
  if (entry.isFile) {
    found.push({ path, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // A reader hands out at most a hundred entries at once.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const one of some) await walk(one, `${path}/`, found);
  }
}
