// What tokens are coloured by, and what two rules keep.
const NONE = 255, STEPS = 254, WINDOW = 64;
const REFERENCE = "reference";
const NATS = [0.1, 0.5, 1, 2, 3, 5, 8], SIGNED = [-2, -0.5, -0.1, 0.1, 0.5, 2];

const columnOf = (kind, of) => data.columns.findIndex(column => column.kind === kind && column.of === of);
const nats = (column, code) => (code === NONE ? NaN : data.columns[column].top * (code / STEPS) ** 2);
const rankColumns = () => data.columns.flatMap((column, number) => (column.kind === "rank" ? [number] : []));
const ruleName = number => {
  const { of, at } = data.columns[number];
  return at ? `${of} at ${at}` : of;
};

// Each measure: its columns (none of which may be missing), the value from their bytes, the bounds of its colours.
function measures(checkpoint, rule) {
  const loss = columnOf("loss", checkpoint), entropy = columnOf("entropy", checkpoint);
  const referenceLoss = columnOf("loss", REFERENCE), referenceEntropy = columnOf("entropy", REFERENCE);
  const one = (name, column) => ({ name, columns: [column], value: code => nats(column, code), bounds: NATS, unit: "nats" });
  const all = {
    loss: one("loss", loss),
    reference: one("reference loss", referenceLoss),
    excess: {
      name: "excess loss", columns: [loss, referenceLoss], bounds: SIGNED, unit: "nats", signed: true,
      value: (own, theirs) => nats(loss, own) - nats(referenceLoss, theirs),
    },
    entropy: one("entropy", entropy),
    "reference-entropy": one("reference entropy", referenceEntropy),
    rank: {
      name: "rank by the rule", columns: [rule], bounds: [12.5, 25, 37.5, 50, 62.5, 75, 87.5], unit: "% of tokens rank lower",
      value: code => (code === NONE ? NaN : 100 - code),
    },
  };
  return Object.fromEntries(Object.entries(all).filter(([, measure]) => measure.columns.every(column => column >= 0)));
}

function colourOf(measure, value) {
  if (Number.isNaN(value)) return "";
  const level = measure.bounds.filter(bound => value >= bound).length;
  return `${measure.signed ? "d" : "q"}${level}`;
}

const shown = (value, digits = 2) => (Number.isNaN(value) ? "–" : value.toFixed(digits).replace("-", "−"));

// The mean of a measure in each document; NaN where it has no number.
async function means(measure) {
  const columns = await Promise.all(measure.columns.map(wholeColumn));
  return starts.map((from, document) => {
    let sum = 0, number = 0;
    for (let at = from; at < from + data.lengths[document]; at++) {
      const value = measure.value(...columns.map(column => column[at]));
      if (!Number.isNaN(value)) [sum, number] = [sum + value, number + 1];
    }
    return number ? sum / number : NaN;
  });
}

const kept = (code, share) => code < share;
const differs = (left, right, share) => left !== NONE && right !== NONE && kept(left, share) !== kept(right, share);

// The stretch of each document in which most tokens are kept by one rule alone: their number, and where it begins.
async function differences(first, second, share) {
  const [left, right] = await Promise.all([first, second].map(wholeColumn));
  return starts.map((from, document) => {
    const to = from + data.lengths[document];
    let number = 0, best = { number: 0, begin: 0 };
    for (let at = from; at < to; at++) {
      number += differs(left[at], right[at], share);
      const before = at - WINDOW;
      if (before >= from) number -= differs(left[before], right[before], share);
      if (number > best.number) best = { number, begin: Math.max(before + 1, from) - from };
    }
    return best;
  });
}
