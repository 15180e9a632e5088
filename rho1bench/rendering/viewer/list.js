// The list: one row is chosen, by the keyboard too; a hundred rows stand on the page at a time.
const list = document.getElementById("list");
const PAGE_SIZE = 100, JUMP = 10;
let rows = [], at = 0, fillRow, showRow;

function listRow(row, number) {
  const box = make("div");
  box.setAttribute("role", "option");
  box.id = `row-${number}`;
  fillRow(box, row);
  return box;
}

function drawList() {
  const from = Math.floor(at / PAGE_SIZE) * PAGE_SIZE, part = rows.slice(from, from + PAGE_SIZE);
  if (list.dataset.from !== String(from)) {
    list.dataset.from = String(from);
    list.replaceChildren(...part.map((row, number) => listRow(row, from + number)));
  }
  for (const box of list.children) box.setAttribute("aria-selected", String(box.id === `row-${at}`));
  list.setAttribute("aria-activedescendant", rows.length ? `row-${at}` : "");
  document.getElementById(`row-${at}`)?.scrollIntoView({ block: "nearest" });
  document.getElementById("place").textContent = rows.length ? `${from + 1} to ${from + part.length} of ${count(rows.length)}` : "";
  document.getElementById("before").disabled = from === 0;
  document.getElementById("after").disabled = from + PAGE_SIZE >= rows.length;
}

function go(place) {
  at = Math.max(0, Math.min(place, rows.length - 1));
  drawList();
  return showRow(rows[at]).catch(trouble);
}

// Lists other rows and goes to one of them.
function setRows(found, place) {
  rows = found;
  list.dataset.from = "";
  return go(place);
}

const MOVES = {
  ArrowDown: () => at + 1, ArrowUp: () => at - 1, j: () => at + 1, k: () => at - 1, PageDown: () => at + JUMP,
  PageUp: () => at - JUMP, Home: () => 0, End: () => rows.length - 1,
};

// `fill` writes a row of the list, `show` its detail (undefined where there is no row); Enter goes to `reader`.
function startList(fill, show, reader) {
  [fillRow, showRow] = [fill, show];
  list.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in MOVES) go(MOVES[event.key]());
    else if (event.key === "Enter") reader.focus();
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
}
