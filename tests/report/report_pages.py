"""What tests of reports read: the pages that a stage wrote, and whether their tags nest."""

from __future__ import annotations

from html.parser import HTMLParser

from rho1bench.pipeline.stage import StageContext
from rho1bench.system.files import read_json, write_json


def published(context: StageContext, name: str) -> str:
    return (context.folder / "publish" / name).read_text(encoding="utf-8")


def summary_of(context: StageContext) -> dict:
    return read_json(context.folder / "publish/summary.json")


def without_costs(context: StageContext) -> None:
    path = context.input("compare") / "comparison.json"
    write_json(path, {key: value for key, value in read_json(path).items() if key != "costs"})


class Tags(HTMLParser):
    """Collects tags and attributes and checks that they nest."""

    VOID = frozenset({"meta", "link", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag
