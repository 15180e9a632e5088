// Elements of the page, its form, and its address. Every text that is not our own is set as text, never as markup.
const form = document.getElementById("filters"), statusLine = document.getElementById("status");
const detail = document.getElementById("detail");
const field = name => form.elements.namedItem(name);
const count = number => number.toLocaleString("en-US");

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function trouble(error) {
  const line = document.getElementById("trouble");
  line.hidden = false;
  line.textContent = error.message;
}

function offer(name, choices) {
  field(name).replaceChildren(...choices.map(([value, text]) => new Option(text, value)));
}

const formValues = () => Object.fromEntries([...form.elements].filter(one => one.name).map(one => [one.name, one.value]));

// The form's fields as the address has them (#a=slm); `labels` has the names of fields that hold numbers.
function readAddress(labels) {
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    const own = field(name);
    if (!own) continue;
    const wanted = name in labels ? String(labels[name].indexOf(value)) : value;
    if (own.tagName === "INPUT" || [...own.options].some(option => option.value === wanted)) own.value = wanted;
  }
}

function writeAddress(values, labels) {
  const set = Object.entries(values).filter(([, value]) => value !== "");
  const words = set.map(([name, value]) => [name, name in labels ? labels[name][Number(value)] : value]);
  history.replaceState(null, "", `#${new URLSearchParams(words)}`);
}

const PAUSE = 250;
// Calls `update` after every change of the form, `again` where the address was changed by hand.
function onChanges(update, again) {
  let timer;
  form.addEventListener("change", update);
  form.addEventListener("input", event => {
    clearTimeout(timer);
    if (event.target.type === "search") timer = setTimeout(update, PAUSE);
  });
  form.addEventListener("submit", event => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(update));
  addEventListener("hashchange", () => {
    form.reset();
    again();
  });
}
