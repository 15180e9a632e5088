"use strict";
// The index that lies in the page, and the chunks beside it: each is a script that hands over gzip in base64.
const carrier = document.getElementById("index");
const MOST_CHUNKS = 96;
const chunks = new Map();
const waiting = new Map();

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

globalThis.answersChunk = (name, text) => {
  const resolve = waiting.get(name);
  waiting.delete(name);
  if (resolve) resolve(unpack(text));
};

function load(name) {
  return new Promise((resolve, reject) => {
    waiting.set(name, resolve);
    const script = document.createElement("script");
    const address = `${encodeURIComponent(carrier.dataset.folder)}/${name}.js`;
    script.src = address;
    script.onload = () => script.remove();
    script.onerror = () => reject(Error(`${address} is missing: keep the folder beside this page`));
    document.head.append(script);
  });
}

function chunk(name) {
  if (!chunks.has(name)) {
    if (chunks.size >= MOST_CHUNKS) chunks.delete(chunks.keys().next().value);
    const promise = load(name);
    promise.catch(() => chunks.delete(name));
    chunks.set(name, promise);
  }
  return chunks.get(name);
}

// The value at a place of a column whose chunks begin at `starts`.
async function valueAt(name, starts, place) {
  let low = 0, high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle] <= place) low = middle; else high = middle - 1;
  }
  return (await chunk(`${name}-${low}`))[place - starts[low]];
}

let data;
// A row of the list: the model's number, the place of its answer, and the question's number.
function allRows() {
  return data.models.flatMap((model, number) => model.question.map((question, place) => ({ model: number, place, question })));
}

async function questionTexts(number) {
  const [prompt, row] = await valueAt("q", data.questions.starts, number);
  return { examples: data.questions.examples[data.questions.task[number]], prompt, row };
}

async function answerTexts(model, place) {
  const [texts, details] = await valueAt(`a${model}`, data.models[model].starts, place);
  return { texts, details };
}

// Where a model answered a question; undefined where it did not.
function placeOf(model, question) {
  const own = data.models[model];
  own.places ??= new Map(own.question.map((asked, place) => [asked, place]));
  return own.places.get(question);
}

const word = (model, side, place) => data.words[data.models[model][side][place]];
const isRight = (model, place) => data.models[model].score[place] === 1;
