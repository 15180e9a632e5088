"""The leaderboard's page in a real headless Chromium: sorting, filtering, keyboard, colour schemes, a narrow screen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_records import fake_pair, fake_record, with_hashes, write_results

from rho1bench.leaderboard.pages.build import HTML_PAGE, write_pages

NAME = '<b onclick="alert(1)">evil</b><script>document.title="taken"</script>'

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("browser")
    records = [record for seed in range(2) for record in fake_pair("ours", seed=seed)]
    records += [*fake_pair("tiny", suite="mini_math9"), *fake_pair("general", suite="rho1_general15")]
    evil = fake_record("evil")
    write_results(results, [*records, with_hashes(evil | {"model": evil["model"] | {"name": NAME}})])
    write_pages(results)
    return results / HTML_PAGE


@pytest.fixture
def opened(browser: Any, page_file: Path) -> Iterator[Open]:
    """Opens the page; at the end nothing may have gone wrong on it, and nothing but the file have been asked for."""
    troubles: list[str] = []
    requests: list[str] = []
    contexts = []

    def open_page(width: int = 1280, scheme: str = "light", scripts: bool = True) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, java_script_enabled=scripts
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(page_file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []
    assert {url for url in requests if not url.startswith("data:")} == {page_file.as_uri()}


def shown(page: Any, group: int = 0, column: int = -1) -> list[str]:
    """The names (or a column's numbers) of the visible rows of table 1, of one of its groups."""
    rows = page.locator("#table-1 tbody").nth(group).locator("tr[data-by]:visible")
    inside = ".name" if column < 0 else f"td:nth-of-type({column + 1})"
    return [text.split("\n")[0] for text in rows.locator(inside).all_inner_texts()]


def head(page: Any, title: str) -> Any:
    return page.locator("#table-1 thead th", has=page.get_by_role("button", name=title))


def numbers(texts: list[str]) -> list[float]:
    return [float(re.match(r"[\d.]+", text)[0]) for text in texts if text != "–"]  # type: ignore[index]


def test_a_click_sorts_down_up_and_back(opened: Open) -> None:
    page = opened()
    before = shown(page)
    assert len(before) > 10
    gsm8k = head(page, "GSM8K")
    assert gsm8k.get_attribute("aria-sort") == "none"
    gsm8k.get_by_role("button").click()
    assert gsm8k.get_attribute("aria-sort") == "descending"
    values = numbers(shown(page, column=4))
    assert values == sorted(values, reverse=True)
    gsm8k.get_by_role("button").click()
    assert gsm8k.get_attribute("aria-sort") == "ascending"
    assert numbers(shown(page, column=4)) == sorted(values)
    gsm8k.get_by_role("button").click()
    assert gsm8k.get_attribute("aria-sort") == "none"
    assert shown(page) == before


def test_missing_numbers_come_last_and_sizes_sort_as_numbers(opened: Open) -> None:
    page = opened()
    for _ in range(2):
        head(page, "SVAMP").get_by_role("button").click()
        assert shown(page, column=6)[-2:] == ["–", "–"]
    head(page, "Size").get_by_role("button").click()
    assert shown(page, group=1, column=0) == ["7B"] * 7 + ["8B", "20B"]
    assert head(page, "SVAMP").get_attribute("aria-sort") == "none"


FOCUSED = """(({activeElement: at}) => at.innerText || at.getAttribute("aria-label") || at.tagName)(document)"""


def test_the_keyboard_sorts_too_and_goes_from_control_to_control(opened: Open) -> None:
    page = opened()
    stops = []
    for _ in range(30):
        page.keyboard.press("Tab")
        stops.append(page.evaluate(FOCUSED))
    names = [str(stop).split("\n")[0] for stop in stops]
    wanted = ["Skip to the tables", "Math", "Rules", "INPUT", "Model", "Size", "GSM8K"]
    assert [name for name in names if name in wanted] == wanted
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    head(page, "Model").get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head(page, "Model").get_attribute("aria-sort") == "ascending"
    lowered = [name.lower() for name in shown(page)]
    assert lowered == sorted(lowered)
    page.keyboard.press("Space")
    assert head(page, "Model").get_attribute("aria-sort") == "descending"
    assert shown(page)[0] == "TinyLlama-CT"


def test_one_filter_hides_rows_of_all_tables_and_says_how_many_are_left(opened: Open) -> None:
    page = opened()
    tools = page.locator("#filter")
    status = tools.get_by_role("status")
    total = page.locator(".sheet tr[data-by]").count()
    assert status.inner_text() == f"{total} rows"
    tools.get_by_label("Filter").fill("rho-1-math 30b")
    assert shown(page, group=0) == ["Rho-1-Math (30B)"]
    assert page.locator("#table-1 tbody").nth(2).is_hidden()
    visible = page.locator(".sheet tr[data-by]:visible").count()
    assert status.inner_text() == f"{visible} of {total} rows shown"
    tools.get_by_label("Filter").fill("")
    tools.get_by_label("Rows").select_option("rho1bench")
    assert page.locator("tr[data-by=paper]:visible").count() == 0
    tools.get_by_label("Filter").fill("no such row")
    assert status.inner_text() == f"0 of {total} rows shown"


def test_the_filter_stands_in_the_address(opened: Open) -> None:
    page = opened()
    page.locator("#filter").get_by_label("Filter").fill("slm seed0")
    page.locator("#filter").get_by_label("Rows").select_option("rho1bench")
    assert page.url.endswith("#q=slm+seed0&rows=rho1bench")
    status = page.locator("#filter").get_by_role("status").inner_text()
    page.reload()
    assert page.locator("#filter").get_by_label("Filter").input_value() == "slm seed0"
    assert page.locator("#filter").get_by_role("status").inner_text() == status
    page.goto(page.url.partition("#")[0] + "#math")
    page.reload()
    assert page.locator("#filter").get_by_label("Filter").input_value() == ""


def test_the_page_opens_on_our_rows(tmp_path: Path) -> None:
    """Where no record is whole, the partial ones and their figure stand before the paper's tables."""
    write_results(tmp_path, fake_pair("tiny", suite="mini_math9"))
    write_pages(tmp_path)
    text = (tmp_path / HTML_PAGE).read_text()
    assert text.index("tiny.slm.seed0") < text.index('id="math"')
    assert text.index("<svg") < text.index('id="math"')


def test_text_from_outside_stays_text(opened: Open) -> None:
    page = opened()
    assert page.title() == "rho1bench leaderboard"
    assert page.get_by_text(NAME, exact=True).first.is_visible()


def test_how_to_reproduce_a_row_opens_without_scripts(opened: Open) -> None:
    page = opened(scripts=False)
    row = page.locator("#table-1 tr", has_text="ours.slm.seed0")
    assert row.locator("code").is_hidden()
    row.locator("summary").click()
    assert row.locator("code").inner_text().startswith("rho1bench eval")
    assert page.locator(".tools").first.is_hidden()
    assert page.locator("thead button").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_colour_schemes_are_legible(opened: Open, scheme: str) -> None:
    page = opened(scheme=scheme)
    for selector in ("body", "#table-1 td.fact", "#table-1 tr[data-by=rho1bench] small", ".about", "nav a"):
        ratio = page.locator(selector).first.evaluate(CONTRAST)
        assert ratio >= 4.5, (selector, ratio)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(map(int, re.findall(r"\d+", background)[:3])) > 380
    assert light == (scheme == "light")


CONTRAST = """element => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const linear = c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => [r, g, b].map(c => linear(c / 255))
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  let behind = element;
  while (parse(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
  const [a, b] = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(c => light(parse(c)));
  return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
}"""


def test_a_narrow_screen_scrolls_inside_the_tables_only(opened: Open) -> None:
    page = opened(width=420)
    assert page.evaluate("document.documentElement.scrollWidth") == 420
    inner = page.locator(".scroll").first
    assert inner.evaluate("box => box.scrollWidth > box.clientWidth")
    name = page.locator("#table-1 .name").first
    left = name.bounding_box()["x"]
    inner.evaluate("box => box.scrollBy(300, 0)")
    assert name.bounding_box()["x"] == left


def test_heads_of_columns_stay_in_sight(opened: Open) -> None:
    page = opened()
    inner = page.locator(".scroll").first
    top = page.locator("#table-1 thead th").nth(4)
    before = top.bounding_box()["y"]
    inner.evaluate("box => box.scrollBy(0, 150)")
    assert top.bounding_box()["y"] == pytest.approx(before, abs=1)
