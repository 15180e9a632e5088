"use strict";
// The index that lies in the page, and the chunks beside it: each is a script that hands over gzip in base64.
const carrier = document.getElementById("index");
let mostChunks = 96;
const chunks = new Map();
const waiting = new Map();
const FORMS = { json: found => found.json(), bytes: async found => new Uint8Array(await found.arrayBuffer()) };

function unpack(text, form) {
  if (typeof DecompressionStream === "undefined")
    throw Error("This browser cannot unpack the page's data: it needs Chromium 80, Safari 16.4, Firefox 113 or newer.");
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  return FORMS[form](new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))));
}

const readIndex = async () => unpack(carrier.textContent, "json");

globalThis.pageChunk = (name, text) => {
  const take = waiting.get(name);
  waiting.delete(name);
  if (take) take(text);
};

function load(name, form) {
  return new Promise((resolve, reject) => {
    waiting.set(name, text => resolve(unpack(text, form)));
    const script = document.createElement("script");
    const address = `${encodeURIComponent(carrier.dataset.folder)}/${name}.js`;
    script.src = address;
    script.onload = () => script.remove();
    script.onerror = () => reject(Error(`${address} is missing: keep the folder beside this page`));
    document.head.append(script);
  });
}

// The contents of a chunk, as json or bytes; what was read last is kept.
function chunk(name, form) {
  if (!chunks.has(name)) {
    if (chunks.size >= mostChunks) chunks.delete(chunks.keys().next().value);
    const promise = load(name, form);
    promise.catch(() => chunks.delete(name));
    chunks.set(name, promise);
  }
  return chunks.get(name);
}

// The last of ascending numbers that is at most `place`, by its own place.
function lastAtMost(starts, place) {
  let low = 0, high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle] <= place) low = middle; else high = middle - 1;
  }
  return low;
}
