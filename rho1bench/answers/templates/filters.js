// The filters: their choices, which rows they keep, and their place in the address (#a=slm&verdicts=score).
function named(list, fallback) {
  return list.filter(Boolean).sort().map(one => [one, one.replaceAll("_", " ")]).concat(fallback);
}

function fillFilters() {
  const models = data.models.map((model, number) => [String(number), `${model.label} (${model.question.length})`]);
  offer("a", models.length > 1 ? [["", "all models"], ...models] : models);
  offer("b", [["", "no other"], ...models]);
  offer("task", [["", "all"], ...data.tasks.map((task, number) => [String(number), task])]);
  const words = [["", "any"], ...named(data.words, data.words.includes("") ? [["-", "none given"]] : [])];
  offer("paper", words);
  offer("verified", words);
  offer("verdicts", [["", "any"], ["score", "differ: one says correct"], ["word", "differ in a word"], ["same", "agree"]]);
  const cut = data.models.some(model => model.cut.includes(1)) ? [["cut", "cut off"], ["whole", "not cut off"]] : [];
  offer("reason", [["", "any"], ...named(data.reasons, data.reasons.includes("") ? [["-", "none given"]] : []), ...cut]);
  offer("score", [["", "any"], ["1", "right"], ["0", "wrong"], ["part", "in between"]]);
  offer("beside", [["", "any"], ["first", "only the first is right"], ["second", "only the second is right"],
    ["both", "both right"], ["none", "both not right"], ["pred", "answers differ"]]);
  for (const name of ["b", "beside"]) field(name).parentElement.hidden = data.models.length < 2;
}

const TESTS = {
  a: (row, value) => row.model === Number(value),
  task: (row, value) => data.questions.task[row.question] === Number(value),
  paper: (row, value) => word(row.model, "paper", row.place) === (value === "-" ? "" : value),
  verified: (row, value) => word(row.model, "verified", row.place) === (value === "-" ? "" : value),
  verdicts(row, value) {
    const [paper, verified] = ["paper", "verified"].map(side => word(row.model, side, row.place));
    if (!paper || !verified) return false;
    if (value === "score") return (paper === "correct") !== (verified === "correct");
    return (paper === verified) === (value === "same");
  },
  reason(row, value) {
    const own = data.models[row.model];
    if (value === "cut" || value === "whole") return (own.cut[row.place] === 1) === (value === "cut");
    return data.reasons[own.reason[row.place]] === (value === "-" ? "" : value);
  },
  score(row, value) {
    const score = data.models[row.model].score[row.place];
    return value === "part" ? score > 0 && score < 1 : score === Number(value);
  },
  beside(row, value) {
    const place = placeOf(Number(field("b").value), row.question);
    if (place === undefined) return false;
    const other = Number(field("b").value);
    const [first, second] = [isRight(row.model, row.place), isRight(other, place)];
    if (value === "pred") return data.models[row.model].pred[row.place] !== data.models[other].pred[place];
    return { first: first && !second, second: second && !first, both: first && second, none: !first && !second }[value];
  },
};

// What is chosen; two models stand side by side only where the first is one model.
function chosen() {
  const values = formValues();
  field("b").disabled = values.a === "";
  if (values.a === "") values.b = "";
  field("beside").disabled = !values.b;
  if (!values.b) values.beside = "";
  return values;
}

function kept(rows, values) {
  const tests = Object.entries(TESTS).filter(([name]) => values[name] !== undefined && values[name] !== "");
  return rows.filter(row => tests.every(([name, test]) => test(row, values[name])));
}

async function holds(row, wanted) {
  const { questions } = data;
  const short = `${data.tasks[questions.task[row.question]]} ${questions.doc[row.question]} ${questions.gold[row.question]}`;
  if (`${short} ${data.models[row.model].pred[row.place]}`.toLowerCase().includes(wanted)) return true;
  const [{ prompt }, { texts }] = await Promise.all([questionTexts(row.question), answerTexts(row.model, row.place)]);
  return prompt.toLowerCase().includes(wanted) || texts.some(text => text.toLowerCase().includes(wanted));
}

// The fields that stand in the address by name.
function labels() {
  const models = data.models.map(one => one.label);
  return { a: models, b: models, task: data.tasks };
}
