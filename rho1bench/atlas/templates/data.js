// The stream of tokens and its columns, one byte a token; texts of documents, whose characters may span tokens.
mostChunks = 2048;
let data;
let starts;

function readStarts() {
  starts = [];
  let sum = 0;
  for (const length of data.lengths) {
    starts.push(sum);
    sum += length;
  }
  data.total = sum;
  data.isSpecial = new Set(data.special);
  data.bytes = data.pieces.map(piece => Uint8Array.from(piece, letter => letter.charCodeAt(0)));
  data.texts = data.bytes.map(whole);
}

// The text of a piece; null where its bytes are no whole characters.
function whole(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

// Bytes `from` to `to` of a column with `planes` bytes a token, as an array of planes.
async function slice(name, from, to, planes = 1) {
  const found = Array.from({ length: planes }, () => new Uint8Array(to - from));
  for (let number = Math.floor(from / data.chunk); number * data.chunk < to; number++) {
    const bytes = await chunk(`${name}-${number}`, "bytes");
    const size = bytes.length / planes, first = number * data.chunk;
    const low = Math.max(from - first, 0), high = Math.min(to - first, size);
    for (let plane = 0; plane < planes; plane++)
      found[plane].set(bytes.subarray(plane * size + low, plane * size + high), first + low - from);
  }
  return found;
}

const columnSlice = async (column, from, to) => (await slice(`v${column}`, from, to))[0];
const wholeColumn = column => columnSlice(column, 0, data.total);

async function tokensOf(document) {
  const from = starts[document], to = from + data.lengths[document];
  const planes = await slice("t", from, to, data.planes);
  return Array.from({ length: to - from }, (_, at) => planes.reduce((sum, plane, power) => sum + plane[at] * 256 ** power, 0));
}

// The text of each token; what completes a character has all of it, and the pieces before it are empty.
function textsOf(tokens) {
  let decoder = null;
  return tokens.map(token => {
    if (data.isSpecial.has(token)) {
      decoder = null;
      return data.texts[token] ?? "";
    }
    if (!decoder && data.texts[token] !== null) return data.texts[token];
    decoder ??= new TextDecoder("utf-8", { ignoreBOM: true });
    const text = decoder.decode(data.bytes[token], { stream: true });
    if (data.texts[token] !== null) decoder = null;
    return text;
  });
}

const blockOf = place => data.blocks[Math.floor(place / data.size)];
const documentAt = place => lastAtMost(starts, place);

function nameOf(document) {
  const number = data.numbers[document];
  let part = 1;
  while (data.numbers[document - part] === number) part++;
  const parted = part > 1 || data.numbers[document + 1] === number;
  return parted ? `document ${number}, part ${part}` : `document ${number}`;
}
