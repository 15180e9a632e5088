"""The page of answers in a real headless Chromium, opened as a file: filters, keyboard, two models, hostile text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_answers_page import EXAMPLES, sample, write

from rho1bench.answers.page import address, write_page
from rho1bench.answers.sources import find_sources

EVIL = '</script><img src=x onerror="document.title=1"><b>bold</b>\u2028${alert(1)}'
TOOLS = "Let me see.\n```python\nprint(40+2)\n```\n```output\n42\n```\nIt is 42."
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """250 answers a model; the verdicts of ours differ on every 50th, and theirs is wrong on every 10th."""
    where = tmp_path_factory.mktemp("answers")
    for name in ("ours", "theirs"):
        rows = [sample(number, f" {number + 1}") for number in range(250)]
        for number in range(0, 250, 50 if name == "ours" else 10):
            judged = {"verified": "incorrect"} if name == "ours" else {"paper": "incorrect", "verified": "incorrect"}
            rows[number] = sample(number, EVIL if number == 50 else TOOLS, **judged, truncated=True)
        write(where / f"eval/{name}/samples_sums.jsonl", rows)
    write_page(where / "a page.html", find_sources([str(where / "eval")]), f"Answers {EVIL}", [("Report", "r.html")])
    return where


@pytest.fixture
def opened(open_page: Open, folder: Path) -> Open:
    """Opens the page, with its filters set."""

    def opened_page(width: int = 1280, **choices: str) -> Any:
        page = open_page(folder / "a page.html", address("", **choices), width=width)
        page.locator("#detail h2").wait_for()
        return page

    return opened_page


def status(page: Any) -> str:
    return str(page.get_by_role("status").inner_text())


def heading(page: Any) -> str:
    return str(page.locator("#detail h2").inner_text())


def test_the_keyboard_alone_filters_and_reads(opened: Open) -> None:
    page = opened()
    assert status(page) == "500 of 500 answers"
    focus = 'document.activeElement.getAttribute("name") || document.activeElement.id'
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate(focus) == "verdicts":
            break
    page.keyboard.press("ArrowDown")
    page.get_by_text("5 of 500 answers").wait_for()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate(focus) == "list":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("ArrowDown")
    page.get_by_role("heading", name="sums, document 50").wait_for()
    chosen = page.locator("[role=option][aria-selected=true]")
    assert page.locator("#list").get_attribute("aria-activedescendant") == chosen.get_attribute("id")
    page.keyboard.press("End")
    page.get_by_role("heading", name="sums, document 200").wait_for()
    page.keyboard.press("Enter")
    assert page.evaluate(focus) == "detail"
    page.keyboard.press("Escape")
    assert page.evaluate(focus) == "list"


def test_text_of_models_stays_text_and_programs_stand_apart(opened: Open) -> None:
    page = opened(a="ours", verdicts="score")
    assert page.title().startswith("Answers </script>")
    assert page.locator("#detail pre.program").inner_text() == "print(40+2)"
    assert page.locator("#detail pre.output").inner_text() == "42"
    assert page.locator("#detail .cut").count() == 1
    page.locator("#detail summary", has_text="Examples").click()
    assert page.locator("#detail details pre").first.text_content() == EXAMPLES
    page.locator("[role=option]", has_text="sums 50").click()
    page.get_by_role("heading", name="sums, document 50").wait_for()
    assert page.locator("#detail pre.words").text_content() == EVIL
    assert page.locator("#detail img, #detail b").count() == 0


def test_two_models_stand_side_by_side(opened: Open) -> None:
    page = opened(a="ours", b="theirs", beside="first")
    assert status(page) == "25 of 250 answers"
    assert page.locator(".sides h3").all_inner_texts() == ["ours", "theirs"]
    page.get_by_label("The two models").select_option("none")
    page.get_by_text("0 of 250 answers").wait_for()
    assert page.get_by_text("No answer fits the filters.").is_visible()
    page.get_by_role("button", name="Show all").click()
    page.get_by_text("500 of 500 answers").wait_for()


def test_words_are_searched_in_all_texts_and_the_list_has_pages(opened: Open) -> None:
    page = opened(a="theirs")
    page.get_by_role("button", name="Later").click()
    page.get_by_role("heading", name="sums, document 100").wait_for()
    assert page.locator("[role=option]").count() == 100
    page.get_by_label("Text").fill("PRINT(40")
    page.get_by_text("24 of 250 answers").wait_for()
    assert heading(page) == "sums, document 100"
    page.reload()
    page.get_by_text("24 of 250 answers").wait_for()


def test_a_narrow_screen_scrolls_down_only(opened: Open) -> None:
    page = opened(width=420, a="ours", b="theirs")
    assert page.evaluate("document.documentElement.scrollWidth") == 420
    assert page.evaluate("document.documentElement.scrollHeight") < 3000
