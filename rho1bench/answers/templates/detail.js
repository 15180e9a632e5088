// One question with one answer or two. Every text of a model is set as text, never as markup.
function facts(pairs) {
  const list = make("dl");
  for (const [name, value, className] of pairs)
    if (value !== undefined && value !== "") list.append(make("dt", name), make("dd", String(value), className));
  return list;
}

function folded(title, text) {
  const box = make("details");
  box.append(make("summary", title), make("pre", text));
  return box;
}

const SIGNS = { correct: "✓", incorrect: "✗", no_answer: "–", timeout: "…", error: "!" };
const verdictText = verdict => verdict && `${SIGNS[verdict] ?? "?"} ${verdict.replaceAll("_", " ")}`;
const verdictClass = verdict => (verdict === "correct" ? "correct" : "wrong");

// Words, programs and outputs in order; a fence of three backquotes ends what it opened.
function parts(text) {
  const found = [];
  let kind = "words", held = [];
  const end = next => {
    if (held.some(line => line.trim())) found.push([kind, held.join("\n")]);
    [kind, held] = [next, []];
  };
  for (const line of text.split("\n")) {
    if (kind === "words" && line.startsWith("```python")) end("program");
    else if (kind === "words" && line.startsWith("```output")) end("output");
    else if (kind !== "words" && line.startsWith("```")) end("words");
    else held.push(line);
  }
  end("words");
  return found;
}

const TITLES = { words: "", program: "Program", output: "Output" };

function completion(text, number, of, outcome) {
  const box = make("div");
  if (of > 1) box.append(make("h4", `Sample ${number + 1}${outcome === undefined ? "" : `: ${outcome}`}`));
  const found = parts(text);
  if (!found.length) box.append(make("p", "The completion is empty.", "quiet"));
  for (const [kind, piece] of found) {
    if (TITLES[kind]) box.append(make("h4", TITLES[kind]));
    box.append(make("pre", piece, kind));
  }
  return box;
}

function choices(values) {
  const best = values.indexOf(Math.max(...values));
  const rows = values.map((value, number) => `${number}: ${value.toFixed(3)}${number === best ? "  ← highest" : ""}`);
  const box = make("div");
  box.append(make("h4", "Log-likelihood of each choice, from 0"), make("pre", rows.join("\n")));
  return box;
}

async function side(model, place, question) {
  const own = data.models[model], { texts, details } = await answerTexts(model, place);
  const section = make("section"), [paper, verified] = ["paper", "verified"].map(name => word(model, name, place));
  section.append(make("h3", own.label));
  section.append(facts([
    ["Extracted answer", details.pred === "" ? "(none)" : details.pred],
    ["Gold answer", data.questions.gold[question]],
    ["Paper's verdict", verdictText(paper), verdictClass(paper)],
    ["Verified verdict", verdictText(verified), verdictClass(verified)],
    ["Score", own.score[place]],
    ["Finish reason", data.reasons[own.reason[place]].replaceAll("_", " ")],
    ["Tokens", details.num_tokens],
    ["Calls of the model", details.calls],
  ]));
  const outcomes = details.outcomes ?? [];
  if (texts.length === 1 && outcomes.length) section.append(facts([["Outcome", outcomes[0]]]));
  texts.forEach((text, number) => section.append(completion(text, number, texts.length, outcomes[number])));
  if (own.cut[place]) section.append(make("p", "✂ Cut off: prompt or answer reached the limit of tokens.", "cut"));
  if (details.loglikelihoods) section.append(choices(details.loglikelihoods));
  return section;
}

let shown = 0;
async function showDetail(row, other) {
  const turn = ++shown;
  if (!row) return detail.replaceChildren(make("p", "No answer fits the filters.", "quiet"));
  const asked = await questionTexts(row.question);
  const sides = [await side(row.model, row.place, row.question)];
  const place = other === null ? undefined : placeOf(other, row.question);
  if (place !== undefined) sides.push(await side(other, place, row.question));
  else if (other !== null) sides.push(make("p", `${data.models[other].label} was not asked this question.`, "quiet"));
  if (turn !== shown) return undefined;
  const { task, doc } = data.questions, beside = make("div", undefined, "sides");
  beside.append(...sides);
  const parts = [make("h2", `${data.tasks[task[row.question]]}, document ${doc[row.question]}`), make("pre", asked.prompt), beside];
  if (asked.examples) parts.push(folded("Examples before the question, the same for the whole task", asked.examples));
  if (asked.row !== "{}") parts.push(folded("The document", asked.row));
  return detail.replaceChildren(...parts);
}
