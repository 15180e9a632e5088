"""Figures, files and page of an analysis: every number in a table, drawings that are XML, and what a browser shows."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import small_analysis
from eval_folders import write_label

from rho1bench.analysis.accuracy import accuracy_by_ratio, check_suite
from rho1bench.analysis.figures import sections_of
from rho1bench.analysis.files import write_analysis
from rho1bench.analysis.page import page
from rho1bench.analysis.results import read_analysis
from rho1bench.errors import DataError
from rho1bench.recipe import PretrainStage, Recipe


def test_files_hold_the_numbers(tmp_path: Path) -> None:
    found = small_analysis.analysis()
    write_analysis(tmp_path, found)
    assert read_analysis(tmp_path) == found
    names = {path.stem for path in (tmp_path / "figures").glob("*.svg")}
    numbers = ("3", "6-fixed", "7", "8", "9", "11", "12", "13", "14")
    assert all(any(name.startswith(f"figure-{number}") for name in names) for number in numbers)
    for name in names:
        assert ET.parse(tmp_path / "figures" / f"{name}.svg").getroot().get("role") == "img"
    with (tmp_path / "figures/figure-9.csv").open(newline="") as handle:
        rows = list(csv.reader(handle))
    assert rows == [["ratio", "stage", "accuracy"], ["0.6", "a", "0.3"], ["0.6", "b", "0.4"], ["1.0", "c", "0.2"]]
    with pytest.raises(DataError, match="not an analysis"):
        read_analysis(tmp_path / "figures")


def test_only_the_mini_world_is_said_to_be_planted() -> None:
    for planted in (True, False):
        found = small_analysis.analysis(planted=planted)
        text = page(found, sections_of(found)).partition("</style>")[2].lower()
        assert ("planted" in text) == ("wrong number" in text) == planted
        assert "noise" not in text


def test_page_in_a_browser(browser: Any, tmp_path: Path) -> None:
    """Nothing scrolls sideways on a phone; print keeps each figure with its caption, and its colours."""
    write_analysis(tmp_path, small_analysis.analysis())
    shown = browser.new_page(viewport={"width": 420, "height": 800}, color_scheme="dark")
    errors: list[object] = []
    shown.on("console", lambda event: errors.append(event))
    shown.on("pageerror", lambda event: errors.append(event))
    shown.goto((tmp_path / "analysis.html").as_uri())
    assert shown.evaluate("document.documentElement.scrollWidth") == 420
    assert shown.locator("figure svg[role=img]").count() == len(list((tmp_path / "figures").glob("*.svg")))
    smallest = "Math.min(...[...document.querySelectorAll('.mono')].map(e => e.getBoundingClientRect().height))"
    assert shown.evaluate(smallest) > 10
    shown.emulate_media(media="print")
    assert shown.evaluate("getComputedStyle(document.querySelector('figure')).breakInside") == "avoid"
    assert errors == []
    shown.close()


def ratios(*selections: dict[str, Any] | None) -> Recipe:
    """A recipe whose stages are variants of one matrix."""
    source = {"type": "mini_world", "text": "web", "num_documents": 10}
    stages: list[dict[str, Any]] = [
        {"name": "tokens", "kind": "tokenizer", "vocab_size": 300, "sources": [source]},
        {"name": "web", "kind": "corpus", "tokenizer": "tokens", "block_size": 16, "sources": [source]},
    ]
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    for place, selection in enumerate(selections):
        fields = {
            "init": shape | {"max_position_embeddings": 16},
            "corpus": "web",
            "optimizer": {"learning_rate": 1e-3},
        }
        variant = {"group": "arm", "labels": {"selection": str(place), "seed": "1"}}
        fields |= {"batch_size": 1, "max_steps": 1, "selection": selection, "variant": variant}
        stages.append({"name": f"arm-{place}", "kind": "pretrain", **fields})
    return Recipe.model_validate({"name": "ratios", "stages": stages})


def test_accuracy_by_ratio_takes_one_rule_alone(tmp_path: Path) -> None:
    rule = {"score": "random", "ratio": 0.5}
    recipe = ratios(rule, {"score": "random", "ratio": 0.8}, None, {"score": "training_loss", "ratio": 0.5})
    for place in range(4):
        write_label(tmp_path, f"arm-{place}", {"mini_sat": [1.0] * place + [0.0] * (4 - place)})
    found = accuracy_by_ratio(recipe, tmp_path, None, recipe.stage("arm-0", PretrainStage))
    assert found is not None
    assert [(point.ratio, point.accuracies) for point in found.points] == [
        (0.5, {"arm-0": 0.0}),
        (0.8, {"arm-1": 0.25}),
        (1.0, {"arm-2": 0.5}),
    ]
    alone = ratios(rule)
    assert accuracy_by_ratio(alone, tmp_path, None, alone.stage("arm-0", PretrainStage)) is None
    with pytest.raises(DataError, match="suites: mini_math9"):
        check_suite(tmp_path, "nope")
