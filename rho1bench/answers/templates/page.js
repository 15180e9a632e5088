// The rows of the list, and what the form chooses.
let everything = [], values = {}, search = 0;

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

function fillAnswer(box, row) {
  const { task, doc, gold } = data.questions;
  const name = make("span", `${data.tasks[task[row.question]]} ${doc[row.question]}`, "name");
  if (values.a === "" && data.models.length > 1) name.append(" ", make("span", data.models[row.model].label, "model"));
  const said = [data.models[row.model].pred[row.place] || "no answer"];
  const place = values.b === "" ? undefined : placeOf(Number(values.b), row.question);
  if (place !== undefined) said.push(data.models[Number(values.b)].pred[place] || "no answer");
  box.append(name, marks(row.model, row.place), make("span", `${said.join(" | ")} — gold ${gold[row.question]}`, "said"));
}

const showAnswer = row => showDetail(row, values.b === "" ? null : Number(values.b));

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
  writeAddress(values, labels());
  let found = kept(everything, values);
  if (values.text.trim()) found = await searched(found, values.text.trim().toLowerCase(), turn);
  if (found === null || turn !== search) return;
  const whole = values.a === "" ? everything.length : data.models[Number(values.a)].question.length;
  statusLine.textContent = `${count(found.length)} of ${count(whole)} answers`;
  setRows(found, Math.max(0, found.findIndex(row => before && row.question === before.question && row.model === before.model)));
}

async function begin() {
  data = await readIndex();
  everything = allRows();
  fillFilters();
  readAddress(labels());
  form.hidden = false;
  startList(fillAnswer, showAnswer, detail);
  onChanges(() => apply().catch(trouble), () => readAddress(labels()));
  await apply();
}
begin().catch(trouble);
