// One document: its tokens, coloured and marked, and the numbers of the one that is pointed at.
const tokensBox = document.getElementById("tokens"), panel = document.getElementById("numbers");
const spoken = document.getElementById("spoken"), heading = document.getElementById("heading");
const wholeTable = document.getElementById("table");
let open = null, current = 0, drawing = 0;

// Everything that is known of a document's tokens.
async function readDocument(document) {
  const from = starts[document], to = from + data.lengths[document];
  const [tokens, ...codes] = await Promise.all([tokensOf(document), ...data.columns.map((_, column) => columnSlice(column, from, to))]);
  return { document, from, tokens, texts: textsOf(tokens), codes };
}

const visible = text => (text === "" ? "▫" : text.replaceAll("\n", "↵\n").replaceAll("\t", "→\t"));

function tokenClasses(place) {
  const classes = [colourOf(open.measure, open.measure.value(...open.measure.columns.map(column => open.codes[column][place])))];
  const { first, second, share } = open.choice;
  if (first >= 0 && kept(open.codes[first][place], share)) classes.push("kept");
  if (second >= 0 && kept(open.codes[second][place], share)) classes.push("kept-too");
  if (data.isSpecial.has(open.tokens[place])) classes.push("special");
  if (open.hits.has(place)) classes.push("hit");
  if ((open.from + place) % data.size === 0) classes.push("block");
  return classes.filter(Boolean).join(" ");
}

// Shows a document with a measure and the choice of rules; `hits` are tokens to point out, `begin` the one to start at.
async function showDocument(document, measure, choice, hits, begin) {
  const turn = ++drawing;
  const found = open?.document === document ? open : await readDocument(document);
  if (turn !== drawing) return;
  open = { ...found, measure, choice, hits };
  heading.textContent = `${nameOf(document)}, from block ${blockOf(open.from)}: ${count(open.tokens.length)} tokens`;
  tokensBox.replaceChildren(...open.texts.map((text, place) => {
    const span = make("span", visible(text), tokenClasses(place));
    span.id = `token-${place}`;
    span.setAttribute("role", "option");
    return span;
  }));
  wholeTable.open = false;
  current = begin - 1;
  pointAt(begin && !hits.size ? nextDifference(1) : begin, false, begin > 0);
}

function ruleWords(column, place) {
  const code = open.codes[column][place];
  if (code === NONE) return "not ranked";
  return `best ${code + 1}%, ${kept(code, open.choice.share) ? "kept" : "dropped"}`;
}

function modelRows(place) {
  return [...data.checkpoints, REFERENCE].filter(label => columnOf("loss", label) >= 0).map(label => {
    const [loss, entropy, reference] = [columnOf("loss", label), columnOf("entropy", label), columnOf("loss", REFERENCE)];
    const value = nats(loss, open.codes[loss][place]);
    const excess = label === REFERENCE || reference < 0 ? "" : shown(value - nats(reference, open.codes[reference][place]));
    return [label, shown(value), entropy < 0 ? "" : shown(nats(entropy, open.codes[entropy][place])), excess];
  });
}

function table(header, rows) {
  const box = make("table"), head = make("tr"), body = make("tbody");
  for (const name of header) {
    const cell = make("th", name);
    cell.scope = "col";
    head.append(cell);
  }
  for (const [name, ...cells] of rows) {
    const row = make("tr"), cell = make("th", name);
    cell.scope = "row";
    row.append(cell, ...cells.map(text => make("td", text)));
    body.append(row);
  }
  const top = make("thead");
  top.append(head);
  box.append(top, body);
  return box;
}

function where(place) {
  const at = open.from + place;
  return `token ${place + 1} of ${open.tokens.length}, block ${blockOf(at)}, position ${at % data.size}, id ${data.ids[open.tokens[place]]}`;
}

const quoted = place => (open.texts[place] === "" ? "part of a character" : `“${open.texts[place].replaceAll("\n", "↵")}”`);

// The numbers of a token beside the text; `aloud` where the keyboard has moved there.
function showNumbers(place, aloud) {
  const title = make("p");
  title.append(make("strong", quoted(place)), ` ${where(place)}`);
  const rules = rankColumns().map(column => [ruleName(column), ruleWords(column, place)]);
  const parts = [title];
  if ((open.from + place) % data.size === 0) parts.push(make("p", "The first token of a block: nothing predicts it.", "quiet"));
  parts.push(table(["nats", "loss", "entropy", "excess"], modelRows(place)));
  if (rules.length) parts.push(table(["rule", "rank among all tokens"], rules));
  panel.replaceChildren(...parts);
  if (!aloud) return;
  const { measure, choice } = open;
  const value = measure.value(...measure.columns.map(column => open.codes[column][place]));
  const said = [`${quoted(place)}: ${measure.name} ${shown(value)}`];
  for (const column of [choice.first, choice.second]) if (column >= 0) said.push(`${ruleName(column)} ${ruleWords(column, place)}`);
  spoken.textContent = said.join("; ");
}

function pointAt(place, aloud = true, scrolls = true) {
  tokensBox.children[current]?.setAttribute("aria-selected", "false");
  current = Math.max(0, Math.min(place, open.tokens.length - 1));
  const token = tokensBox.children[current];
  token.setAttribute("aria-selected", "true");
  tokensBox.setAttribute("aria-activedescendant", token.id);
  if (scrolls) token.scrollIntoView({ block: "nearest" });
  showNumbers(current, aloud);
}

// The next token in a direction that one rule keeps and the other drops.
function nextDifference(step) {
  const { first, second, share } = open.choice;
  if (first < 0 || second < 0) return current;
  for (let place = current + step; place >= 0 && place < open.tokens.length; place += step)
    if (differs(open.codes[first][place], open.codes[second][place], share)) return place;
  return current;
}

const TOKEN_MOVES = {
  ArrowRight: () => current + 1, ArrowLeft: () => current - 1, ArrowDown: () => current + 10, ArrowUp: () => current - 10,
  Home: () => 0, End: () => open.tokens.length - 1, n: () => nextDifference(1), p: () => nextDifference(-1),
};

function fillTable() {
  const { measure, choice } = open;
  const rules = [choice.first, choice.second].filter(column => column >= 0);
  const header = ["token", measure.name, ...rules.map(ruleName)];
  const rows = open.tokens.map((_, place) => [
    `${place + 1} ${quoted(place)}`, shown(measure.value(...measure.columns.map(column => open.codes[column][place]))),
    ...rules.map(column => ruleWords(column, place)),
  ]);
  document.getElementById("rows").replaceChildren(table(header, rows));
}

function startTokens() {
  tokensBox.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || !open || !(event.key in TOKEN_MOVES)) return;
    pointAt(TOKEN_MOVES[event.key]());
    event.preventDefault();
  });
  const place = event => (event.target.id?.startsWith("token-") ? Number(event.target.id.slice(6)) : -1);
  tokensBox.addEventListener("pointerover", event => place(event) >= 0 && showNumbers(place(event), false));
  tokensBox.addEventListener("pointerleave", () => open && showNumbers(current, false));
  tokensBox.addEventListener("click", event => place(event) >= 0 && pointAt(place(event), false));
  wholeTable.addEventListener("toggle", () => wholeTable.open && open && fillTable());
}
