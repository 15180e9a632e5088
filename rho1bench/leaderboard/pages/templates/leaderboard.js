"use strict";
(() => {
  const FEW_ROWS = 6;

  // What a cell sorts by: its number if it begins with one, else its words; nothing sorts last.
  function sortKey(cell) {
    if (cell.dataset.order) return Number(cell.dataset.order);
    const text = (cell.querySelector(".name") ?? cell.firstChild)?.textContent.trim() ?? "";
    if (text === "" || text === "–") return null;
    const number = /^(?:at most )?([+−]?\d[\d.]*)%?$/.exec(text);
    return number ? Number(number[1].replace("−", "-")) : text.toLowerCase();
  }

  function compare(left, right) {
    if (typeof left === typeof right) return left < right ? -1 : left > right ? 1 : 0;
    return typeof left === "number" ? -1 : 1;
  }

  function sortBody(body, column, direction) {
    const keyed = body.rowsInOrder.map((row, place) => ({ row, place, key: column < 0 ? null : sortKey(row.cells[column]) }));
    if (column >= 0) {
      keyed.sort((a, b) => {
        if (a.key === null || b.key === null) return (a.key === null) - (b.key === null) || a.place - b.place;
        return direction * compare(a.key, b.key) || a.place - b.place;
      });
    }
    body.append(...keyed.map(({ row }) => row));
  }

  function makeSortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    for (const body of table.tBodies) {
      body.rowsInOrder = [...body.rows].filter((row) => !row.classList.contains("group"));
    }
    heads.forEach((head, column) => {
      const first = column > 0 && head.classList.contains("num") ? "descending" : "ascending";
      const second = first === "ascending" ? "descending" : "ascending";
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      if (!button.querySelector(".title")) {
        const title = document.createElement("span");
        title.className = "title";
        title.append(...button.childNodes);
        button.append(title);
      }
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        const next = now === "none" ? first : now === first ? second : "none";
        heads.forEach((other) => other.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", next);
        for (const body of table.tBodies) {
          sortBody(body, next === "none" ? -1 : column, next === "descending" ? -1 : 1);
        }
      });
    });
  }

  function makeFilterable(tools) {
    const table = document.getElementById(tools.dataset.for);
    const bodies = [...table.tBodies];
    const total = bodies.reduce((sum, body) => sum + body.rowsInOrder.length, 0);
    if (total < FEW_ROWS) return;
    const input = tools.querySelector("input");
    const select = tools.querySelector("select");
    const status = tools.querySelector("[role=status]");
    const text = new Map();
    for (const body of bodies) {
      const title = body.querySelector(".group")?.textContent ?? "";
      for (const row of body.rowsInOrder) {
        const facts = [...row.querySelectorAll(".name, .fact, dd")].map((cell) => cell.textContent);
        text.set(row, [title, ...facts].join(" ").toLowerCase());
      }
    }
    const update = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const body of bodies) {
        let here = 0;
        for (const row of body.rowsInOrder) {
          const fits = words.every((word) => text.get(row).includes(word)) && (!select?.value || row.dataset.by === select.value);
          row.hidden = !fits;
          here += fits;
        }
        body.hidden = here === 0;
        shown += here;
      }
      status.textContent = shown === total ? `${total} rows` : `${shown} of ${total} rows shown`;
    };
    input.addEventListener("input", update);
    select?.addEventListener("change", update);
    tools.hidden = false;
    update();
  }

  for (const table of document.querySelectorAll("table[id]")) makeSortable(table);
  for (const tools of document.querySelectorAll(".tools")) makeFilterable(tools);
})();
