"""Reads the tables of a leaderboard page back."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class PageRow:
    """One row: the group it stands in, its name, its cells' first texts, their small print, and which are marked."""

    group: str
    by: str
    name: str = ""
    cells: list[str] = field(default_factory=list)
    small: list[str] = field(default_factory=list)
    marked: list[bool] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


class Page(HTMLParser):
    """``tables[key]``: rows of the table with that id; ``heads[key]``: its titles; ``ids`` and ``tags`` of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[PageRow]] = {}
        self.heads: dict[str, list[str]] = {}
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._table = self._group = self._part = ""
        self._path: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag in ("meta", "link", "input", "br", "rect", "circle", "line", "polyline", "polygon"):
            return
        self._path.append(tag)
        if tag == "table":
            self._table, self._group = str(found.get("id") or ""), ""
            if self._table:
                self.tables[self._table], self.heads[self._table] = [], []
        elif tag == "tr" and self._table and "tbody" in self._path and found.get("class") != "group":
            self.tables[self._table].append(PageRow(self._group, str(found.get("data-by"))))
        elif tag == "td" and self._rows():
            row = self._rows()[-1]
            row.cells.append("")
            row.small.append("")
            row.marked.append(found.get("class") == "best")
        elif tag == "a" and self._rows() and found.get("href"):
            self._rows()[-1].links.append(str(found["href"]))

    def _rows(self) -> list[PageRow]:
        return self.tables.get(self._table, [])

    def handle_endtag(self, tag: str) -> None:
        if tag in self._path:
            while self._path.pop() != tag:
                pass
        if tag == "table":
            self._table = ""

    def handle_data(self, data: str) -> None:
        if self._path and self._path[-1] == "script":
            self.scripts.append(data)
        if not self._table or "caption" in self._path:
            return
        if "thead" in self._path:
            if self._path[-1] in ("th", "span") and data.strip():
                self.heads[self._table].append(data.strip())
        elif self._path[-3:-1] == ["tr", "th"] and self._path[-1] == "span" and not self._is_row_name():
            self._group = data
        elif "td" in self._path:
            row = self._rows()[-1]
            if self._path[-1] == "small":
                row.small[-1] += data + " "
            elif self._path[-1] in ("td", "a", "code") and not row.cells[-1]:
                row.cells[-1] = data.strip()
        elif self._path[-1] in ("a", "span") and self._path[-2] == "th" and self._rows():
            self._rows()[-1].name += data

    def _is_row_name(self) -> bool:
        return self.tags[-1][1].get("class") == "name"
