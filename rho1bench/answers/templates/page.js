// The list and the keyboard.
const list = document.getElementById("list"), statusLine = document.getElementById("status");
const PAGE_SIZE = 100, JUMP = 10, PAUSE = 250;
let everything = [], rows = [], at = 0, values = {}, search = 0, timer;

function mark(name, verdict) {
  const box = make("span", `${name} `);
  box.append(make("span", SIGNS[verdict] ?? "?", verdictClass(verdict)), make("span", verdict.replaceAll("_", " "), "hidden"));
  return box;
}

function marks(model, place) {
  const box = make("span"), [paper, verified] = ["paper", "verified"].map(side => word(model, side, place));
  const score = data.models[model].score[place];
  if (paper) box.append(mark("paper", paper), " ");
  if (verified) box.append(mark("verified", verified));
  if (!paper && !verified) box.append(make("span", `score ${score}`, score === 1 ? "correct" : "wrong"));
  return box;
}

function option(row, number) {
  const { task, doc, gold } = data.questions, box = make("div");
  box.setAttribute("role", "option");
  box.id = `row-${number}`;
  const name = make("span", `${data.tasks[task[row.question]]} ${doc[row.question]}`, "name");
  if (values.a === "" && data.models.length > 1) name.append(" ", make("span", data.models[row.model].label, "model"));
  const said = [data.models[row.model].pred[row.place] || "no answer"];
  const place = values.b === "" ? undefined : placeOf(Number(values.b), row.question);
  if (place !== undefined) said.push(data.models[Number(values.b)].pred[place] || "no answer");
  box.append(name, marks(row.model, row.place), make("span", `${said.join(" | ")} — gold ${gold[row.question]}`, "said"));
  return box;
}

function drawList() {
  const from = Math.floor(at / PAGE_SIZE) * PAGE_SIZE, part = rows.slice(from, from + PAGE_SIZE);
  if (list.dataset.from !== String(from)) {
    list.dataset.from = String(from);
    list.replaceChildren(...part.map((row, number) => option(row, from + number)));
  }
  for (const box of list.children) box.setAttribute("aria-selected", String(box.id === `row-${at}`));
  list.setAttribute("aria-activedescendant", rows.length ? `row-${at}` : "");
  document.getElementById(`row-${at}`)?.scrollIntoView({ block: "nearest" });
  document.getElementById("place").textContent = rows.length ? `${from + 1} to ${from + part.length} of ${count(rows.length)}` : "";
  document.getElementById("before").disabled = from === 0;
  document.getElementById("after").disabled = from + PAGE_SIZE >= rows.length;
}

const count = number => number.toLocaleString("en-US");
const trouble = error => {
  const line = document.getElementById("trouble");
  line.hidden = false;
  line.textContent = error.message;
};

function go(place) {
  at = Math.max(0, Math.min(place, rows.length - 1));
  drawList();
  showDetail(rows[at], values.b === "" ? null : Number(values.b)).catch(trouble);
}

async function searched(found, wanted, turn) {
  const kept = [];
  for (const [number, row] of found.entries()) {
    if (await holds(row, wanted)) kept.push(row);
    if (turn !== search) return null;
    if (number % 500 === 0) statusLine.textContent = `Searching ${count(found.length)} answers: ${count(number)} read …`;
  }
  return kept;
}

async function apply() {
  const turn = ++search, before = rows[at];
  values = chosen();
  writeAddress(values);
  let found = kept(everything, values);
  if (values.text.trim()) found = await searched(found, values.text.trim().toLowerCase(), turn);
  if (found === null || turn !== search) return;
  rows = found;
  list.dataset.from = "";
  const whole = values.a === "" ? everything.length : data.models[Number(values.a)].question.length;
  statusLine.textContent = `${count(rows.length)} of ${count(whole)} answers`;
  go(Math.max(0, rows.findIndex(row => before && row.question === before.question && row.model === before.model)));
}

const MOVES = {
  ArrowDown: () => at + 1, ArrowUp: () => at - 1, j: () => at + 1, k: () => at - 1, PageDown: () => at + JUMP,
  PageUp: () => at - JUMP, Home: () => 0, End: () => rows.length - 1,
};

list.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in MOVES) go(MOVES[event.key]());
  else if (event.key === "Enter") detail.focus();
  else return;
  event.preventDefault();
});
list.addEventListener("click", event => {
  const box = event.target.closest("[role=option]");
  if (box) go(Number(box.id.slice(4)));
});
detail.addEventListener("keydown", event => {
  if (event.key === "Escape") list.focus();
});
document.getElementById("before").addEventListener("click", () => go(at - (at % PAGE_SIZE) - PAGE_SIZE));
document.getElementById("after").addEventListener("click", () => go(at - (at % PAGE_SIZE) + PAGE_SIZE));
const update = () => apply().catch(trouble);
form.addEventListener("change", update);
form.addEventListener("input", event => {
  clearTimeout(timer);
  if (event.target.type === "search") timer = setTimeout(update, PAUSE);
});
form.addEventListener("submit", event => event.preventDefault());
form.addEventListener("reset", () => setTimeout(update));
addEventListener("hashchange", () => {
  form.reset();
  readAddress();
});

async function begin() {
  if (typeof DecompressionStream === "undefined")
    throw Error("This browser cannot unpack the answers: it needs Chromium 80, Safari 16.4, Firefox 113 or newer.");
  data = await unpack(carrier.textContent);
  everything = allRows();
  fillFilters();
  readAddress();
  form.hidden = false;
  await apply();
}
begin().catch(trouble);
