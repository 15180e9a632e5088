"""The page of tokens in a real headless Chromium, opened as a file: keyboard, numbers, two rules, hostile text."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rho1bench.atlas.columns import percents, steps
from rho1bench.atlas.measures import Column
from rho1bench.atlas.page import Atlas, write_page
from rho1bench.atlas.text import AtlasText, vocabulary_of
from rho1bench.corpus.tokenizer import train_tokenizer, write_tokenizer

EVIL = '</script><img src=x onerror="document.title=1"> & <b>bold</b>'
DOCUMENTS = ["One plus one is two.\n", EVIL, "Grüße, 北京 😀!", *(f"Number {number} of many." for number in range(117))]
SIZE, DIFFERENT = 16, 70
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 documents; two rules rank by place in the stream, but for the tokens of document 70, which one ranks last."""
    where = tmp_path_factory.mktemp("atlas")
    tokenizer = train_tokenizer(iter(DOCUMENTS), 300)
    write_tokenizer(tokenizer, where / "tokenizer")
    eos = tokenizer.token_to_id("</s>")
    encoded = [[*tokenizer.encode(text, add_special_tokens=False).ids, eos] for text in DOCUMENTS]
    starts = np.cumsum([0, *(len(tokens) for tokens in encoded)])
    stream = [token for tokens in encoded for token in tokens] + [eos] * (-int(starts[-1]) % SIZE)
    ids = np.array(stream).reshape(-1, SIZE)
    text = AtlasText(list(range(5, 5 + len(ids))), ids, starts[:-1], np.arange(len(DOCUMENTS)))
    eligible = (np.arange(ids.size) % SIZE) != 0
    losses = np.where(eligible, 4.0, np.nan).astype(np.float32)
    losses[starts[DIFFERENT] : starts[DIFFERENT + 1]] *= 2
    scores = -np.arange(ids.size, dtype=np.float32)
    other = scores.copy()
    other[starts[DIFFERENT] : starts[DIFFERENT + 1]] += 10_000
    columns = [
        Column("loss", "base", "", 9.0, steps(losses / 4, 9.0)),
        Column("loss", "slm", "", 9.0, steps(losses, 9.0)),
        Column("loss", "reference", "", 9.0, steps(losses / 2, 9.0)),
        Column("rank", "first_rule", "slm", 0.0, percents(scores, eligible)),
        Column("rank", "other_rule", "", 0.0, percents(other, eligible)),
    ]
    atlas = Atlas(text, vocabulary_of(text), where / "tokenizer", f"web {EVIL}", ["base", "slm"], columns, 0.3)
    write_page(where / "an atlas.html", atlas, f"Tokens {EVIL}", [("Report", "report.html")])
    return where


@pytest.fixture
def opened(open_page: Open, folder: Path) -> Open:
    """Opens the page, with its form set."""

    def opened_page(choices: str = "", **settings: Any) -> Any:
        page = open_page(folder / "an atlas.html", choices, **settings)
        page.locator("#tokens span").first.wait_for()
        return page

    return opened_page


def text_of(page: Any) -> str:
    return str(page.locator("#tokens").evaluate("box => [...box.children].map(one => one.textContent).join('')"))


def test_the_keyboard_alone_reads_documents_and_tokens(opened: Open) -> None:
    page = opened()
    assert "tokens in 120 documents of web" in page.get_by_role("status").first.inner_text()
    focus = "document.activeElement.id"
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate(focus) == "list":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("ArrowDown")
    page.get_by_role("heading", name="document 1, from block").wait_for()
    assert text_of(page) == f"{EVIL}</s>"
    page.keyboard.press("ArrowDown")
    page.get_by_role("heading", name="document 2, from block").wait_for()
    assert text_of(page).replace("▫", "") == "Grüße, 北京 😀!</s>"
    page.keyboard.press("Enter")
    assert page.evaluate(focus) == "tokens"
    page.keyboard.press("ArrowRight")
    chosen = page.locator("#tokens [aria-selected=true]")
    assert chosen.get_attribute("id") == "token-1" == page.locator("#tokens").get_attribute("aria-activedescendant")
    assert re.search(r"excess loss (1\.9|2\.0)\d; first_rule", page.locator("#spoken").inner_text())
    assert "first_rule at slm best" in page.locator("#spoken").inner_text()
    page.keyboard.press("Escape")
    assert page.evaluate(focus) == "list"
    assert page.locator("img, b").count() == 0
    assert page.title().startswith("Tokens </script>")


def test_pointing_shows_the_numbers_of_every_model_and_rule(opened: Open) -> None:
    page = opened("#colour=loss")
    page.locator("#token-3").hover()
    rows = [row.split("\t") for row in page.locator("#numbers table").first.inner_text().split("\n")]
    assert rows[0] == ["nats", "loss", "entropy", "excess"]
    assert [row[0] for row in rows[1:]] == ["base", "slm", "reference"]
    assert [float(row[1]) for row in rows[1:]] == pytest.approx([1.0, 4.0, 2.0], abs=0.05)
    assert rows[1][3].startswith("−1.0")
    assert "other_rule\tbest" in page.locator("#numbers table").nth(1).inner_text()
    assert page.locator("#token-3").get_attribute("class").split()[0] == "q5"
    page.get_by_label("Checkpoint").select_option(label="base")
    page.locator("#token-3.q3").wait_for()
    page.locator("#table summary").click()
    assert page.locator("#rows tbody tr").count() == page.locator("#tokens span").count()


def test_the_way_leads_to_where_two_rules_differ_most(opened: Open) -> None:
    page = opened()
    jump = page.get_by_role("button", name="Where they differ most")
    assert jump.is_disabled()
    page.get_by_label("Second rule").select_option(label="other_rule")
    jump.click()
    page.get_by_role("heading", name=f"document {DIFFERENT}, from block").wait_for()
    assert page.evaluate("document.activeElement.id") == "tokens"
    assert page.locator("#tokens .kept").count() == 0
    assert page.locator("#tokens .kept-too").count() > 5
    assert " differ" in page.locator("#list [aria-selected=true]").inner_text()
    page.reload()
    page.get_by_role("heading", name=f"document {DIFFERENT}, from block").wait_for()
    page.get_by_label("Order").select_option("high")
    page.get_by_label("Colour").select_option("loss")
    page.locator("#list", has_text=re.compile(r"mean (7\.9|8\.0)")).wait_for()
    assert page.locator("#list [role=option]").first.inner_text().startswith(f"document {DIFFERENT}")


def test_words_are_found_across_tokens_and_pointed_out(opened: Open) -> None:
    page = opened()
    page.get_by_label("Text").fill("NUMBER 116")
    page.get_by_text("1 of 120 documents").wait_for()
    page.get_by_role("heading", name="document 119, from block").wait_for()
    hits = page.locator("#tokens .hit")
    assert "".join(hits.all_text_contents()) == "Number 116"
    page.get_by_label("Text").fill("nowhere at all")
    page.get_by_role("heading", name="No document holds these words.").wait_for()
    page.get_by_role("button", name="Start again").click()
    page.get_by_text("tokens in 120 documents").wait_for()


def test_a_narrow_screen_scrolls_down_only(opened: Open) -> None:
    page = opened(width=420, scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") == 420


def test_a_page_without_its_folder_says_so(browser: Any, folder: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.html"
    alone.write_bytes((folder / "an atlas.html").read_bytes())
    page = browser.new_page()
    page.goto(alone.as_uri())
    page.get_by_role("alert").get_by_text("keep the folder beside this page").wait_for()
    page.close()
