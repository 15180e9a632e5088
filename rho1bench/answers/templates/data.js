// The index of the answers, and their texts in chunks.
// The value at a place of a column whose chunks begin at `starts`.
async function valueAt(name, starts, place) {
  const number = lastAtMost(starts, place);
  return (await chunk(`${name}-${number}`, "json"))[place - starts[number]];
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
