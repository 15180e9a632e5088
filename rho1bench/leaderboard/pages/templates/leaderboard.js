"use strict";
(() => {
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

  // One filter for the rows of all tables; what it is set to stands in the address: #q=words&rows=paper
  function makeFilter(tools) {
    const input = tools.querySelector("input");
    const select = tools.querySelector("select");
    const status = tools.querySelector("[role=status]");
    const text = new Map();
    const grids = [...document.querySelectorAll(".sheet")].map((grid) => ({ grid, bodies: [...grid.querySelector("table").tBodies] }));
    for (const { grid, bodies } of grids) {
      const title = grid.querySelector("caption").textContent;
      for (const body of bodies) {
        const group = body.querySelector(".group")?.textContent ?? "";
        for (const row of body.rowsInOrder) {
          const facts = [...row.querySelectorAll(".name, .fact, dd")].map((cell) => cell.textContent);
          text.set(row, [title, group, ...facts].join(" ").toLowerCase());
        }
      }
    }
    const update = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const fits = (row) => words.every((word) => text.get(row).includes(word)) && (!select.value || row.dataset.by === select.value);
      let shown = 0;
      for (const { grid, bodies } of grids) {
        let inGrid = 0;
        for (const body of bodies) {
          const left = body.rowsInOrder.filter((row) => !(row.hidden = !fits(row))).length;
          body.hidden = left === 0;
          inGrid += left;
        }
        grid.hidden = inGrid === 0;
        shown += inGrid;
      }
      status.textContent = shown === text.size ? `${text.size} rows` : `${shown} of ${text.size} rows shown`;
    };
    const isState = (address) => /^#(q|rows)=/.test(address);
    const write = () => {
      const state = new URLSearchParams();
      if (input.value.trim()) state.set("q", input.value.trim());
      if (select.value) state.set("rows", select.value);
      const address = `#${state}`;
      if (address !== "#" || isState(location.hash)) history.replaceState(null, "", address);
      update();
    };
    const read = () => {
      if (isState(location.hash)) {
        const state = new URLSearchParams(location.hash.slice(1));
        input.value = state.get("q") ?? "";
        select.value = state.get("rows") ?? "";
        if (select.selectedIndex < 0) select.value = "";
      }
      update();
    };
    input.addEventListener("input", write);
    select.addEventListener("change", write);
    addEventListener("hashchange", read);
    tools.hidden = false;
    read();
  }

  for (const table of document.querySelectorAll("table[id]")) makeSortable(table);
  makeFilter(document.getElementById("filter"));
})();
