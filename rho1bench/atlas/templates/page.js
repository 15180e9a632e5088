// The list of documents, the form, and the way to where two rules differ most.
const SHARES = [5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95];
const summary = () => `${count(data.total)} tokens in ${count(data.numbers.at(-1) + 1)} documents of ${data.corpus}`;
const labels = () => ({ checkpoint: data.checkpoints, first: data.columns.map((_, column) => ruleName(column)), second: data.columns.map((_, column) => ruleName(column)) });
const legend = document.getElementById("legend"), jump = document.getElementById("jump");
let values = {}, turn = 0, searched = "", found = new Map();

function fillForm() {
  const rules = rankColumns().map(column => [String(column), ruleName(column)]);
  offer("checkpoint", data.checkpoints.map((label, number) => [String(number), label]));
  field("checkpoint").value = String(data.checkpoints.length - 1);
  offer("colour", []);
  offer("first", rules.length ? rules : [["", "none"]]);
  offer("second", [["", "none"], ...rules]);
  offer("keep", [...new Set([...SHARES, data.keep])].sort((a, b) => a - b).map(share => [String(share), `${share}% of tokens`]));
  field("keep").value = String(data.keep);
  const last = rules.find(([number]) => data.columns[Number(number)].at === data.checkpoints.at(-1));
  if (last) field("first").value = last[0];
  // What a reset of the form goes back to.
  for (const option of form.querySelectorAll("option")) option.defaultSelected = option.selected;
  offer("order", [["", "as in the corpus"], ["high", "highest mean first"], ["low", "lowest mean first"], ["differ", "two rules differ most"]]);
}

const rule = name => (values[name] ? Number(values[name]) : -1);
const choice = () => ({ first: rule("first"), second: rule("second"), share: Number(values.keep) });
const offered = () => measures(data.checkpoints[Number(values.checkpoint)], rule("first"));

// Reads the form; colours that need a missing column are not offered, nor an order that needs a second rule.
function readForm() {
  values = formValues();
  const known = offered();
  const before = values.colour in known ? values.colour : known.excess ? "excess" : "loss";
  offer("colour", Object.entries(known).map(([name, measure]) => [name, measure.name]));
  values.colour = field("colour").value = before;
  const both = values.first !== "" && values.second !== "" && values.first !== values.second;
  jump.disabled = !both;
  [...field("order").options].find(option => option.value === "differ").disabled = !both;
  if (values.order === "differ" && !both) values.order = field("order").value = "";
  return known[values.colour];
}

function drawLegend(measure) {
  const { bounds, unit } = measure, parts = [make("span", `${measure.name}, ${unit}: `)];
  for (let level = 0; level <= bounds.length; level++) {
    const words = level === 0 ? `under ${shown(bounds[0], 1)}` : level === bounds.length ? `${shown(bounds.at(-1), 1)} and more` : `from ${shown(bounds[level - 1], 1)}`;
    parts.push(make("span", words, `swatch ${measure.signed ? "d" : "q"}${level}`), " ");
  }
  const marks = [["first", "kept"], ["second", "kept-too"]].filter(([name]) => rule(name) >= 0);
  for (const [name, mark] of marks) parts.push(make("span", `kept by ${ruleName(rule(name))}`, `swatch ${mark}`), " ");
  legend.replaceChildren(...parts);
}

// Where the words stand: by document, its tokens that hold them.
async function searchDocuments(wanted) {
  const own = ++turn, hits = new Map();
  for (let document = 0; document < starts.length; document++) {
    const texts = textsOf(await tokensOf(document));
    const place = texts.join("").toLowerCase().indexOf(wanted);
    if (place >= 0) hits.set(document, holders(texts, wanted));
    if (own !== turn) return null;
    if (document % 500 === 0) statusLine.textContent = `Searching ${count(starts.length)} documents: ${count(document)} read …`;
  }
  return hits;
}

function holders(texts, wanted) {
  const ends = [], held = new Set();
  let length = 0;
  for (const text of texts) ends.push(length += text.length);
  const all = texts.join("").toLowerCase();
  for (let at = all.indexOf(wanted); at >= 0; at = all.indexOf(wanted, at + wanted.length)) {
    let token = ends.findIndex(end => end > at);
    for (; token >= 0 && token < texts.length && (ends[token] - texts[token].length) < at + wanted.length; token++) held.add(token);
  }
  return held;
}

async function orderedRows(documents, measure) {
  const row = document => ({ document, value: NaN, words: `${count(data.lengths[document])} tokens`, begin: 0 });
  const rows = documents.map(row);
  if (values.order === "differ") {
    const differing = await differences(rule("first"), rule("second"), Number(values.keep));
    for (const one of rows) {
      const { number, begin } = differing[one.document];
      Object.assign(one, { value: number, begin, words: `${number} of ${Math.min(WINDOW, data.lengths[one.document])} differ` });
    }
  } else if (values.order) {
    const mean = await means(measure);
    for (const one of rows) Object.assign(one, { value: mean[one.document], words: `mean ${shown(mean[one.document])}` });
  } else return rows;
  const sign = values.order === "low" ? 1 : -1;
  return rows.sort((a, b) => Number.isNaN(a.value) - Number.isNaN(b.value) || sign * (a.value - b.value) || a.document - b.document);
}

function fillDocument(box, row) {
  box.append(make("span", nameOf(row.document), "name"), make("span", row.words, "quiet"), make("span", data.previews[row.document], "said"));
}

async function showListed(row) {
  if (!row) {
    tokensBox.replaceChildren();
    panel.replaceChildren();
    open = null;
    heading.textContent = "No document holds these words.";
    return;
  }
  const hits = found.get(row.document) ?? new Set(), begin = hits.size ? Math.min(...hits) : row.begin;
  await showDocument(row.document, offered()[values.colour], choice(), hits, begin);
}

async function apply() {
  const before = rows[at]?.document, keptOrder = values.order, measure = readForm();
  writeAddress(values, labels());
  drawLegend(measure);
  const wanted = values.text.trim().toLowerCase();
  if (wanted !== searched) {
    const hits = wanted ? await searchDocuments(wanted) : (turn++, new Map());
    if (hits === null) return;
    [searched, found] = [wanted, hits];
  }
  const own = ++turn, documents = starts.map((_, document) => document).filter(document => !wanted || found.has(document));
  const ordered = await orderedRows(documents, measure);
  if (own !== turn) return;
  statusLine.textContent = wanted ? `${count(documents.length)} of ${count(starts.length)} documents` : summary();
  const stays = keptOrder === values.order ? ordered.findIndex(row => row.document === before) : 0;
  const token = stays >= 0 && ordered[stays]?.document === before ? current : null;
  await setRows(ordered, Math.max(0, stays));
  if (token !== null && open && !found.size && values.order !== "differ") pointAt(token, false);
}

async function begin() {
  data = await readIndex();
  readStarts();
  fillForm();
  readAddress(labels());
  readForm();
  readAddress(labels());
  form.hidden = false;
  startList(fillDocument, showListed, tokensBox);
  startTokens();
  onChanges(() => apply().catch(trouble), () => readAddress(labels()));
  jump.addEventListener("click", () => {
    field("order").value = "differ";
    apply().then(() => tokensBox.focus()).catch(trouble);
  });
  await apply();
}
begin().catch(trouble);
