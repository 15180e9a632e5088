"""Score functions of other packages: real installed metadata on a path of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rho1bench.errors import PluginError, RecipeError
from rho1bench.recipe import Selection
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.recipe.models.score_names import score_names
from rho1bench.selection import score_functions
from rho1bench.selection.score_functions import ScoreInputs, score_function, score_function_names

Install = Callable[[str, str, str], None]
GOOD = """
from rho1bench.selection.score_functions import ScoreFunction
late = ScoreFunction("late_tokens", lambda given: given["token_positions"].float(), ("token_positions",))
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package of one module with one entry point, until the test ends."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(score_functions, "_SCORE_FUNCTIONS", dict(score_functions._SCORE_FUNCTIONS))

    def make(package: str, entry: str, source: str) -> None:
        module = f"{tmp_path.name}_{package}".replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{package.replace('-', '_')}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.5\n")
        name, _, attribute = entry.partition("=")
        (info / "entry_points.txt").write_text(f"[rho1bench.score_functions]\n{name} = {module}:{attribute}\n")
        # Another entry on the path: what was found before is not asked again.
        monkeypatch.syspath_prepend(str(info))

    return make


def test_a_package_adds_a_score(install: Install) -> None:
    assert "late_tokens" not in score_names()
    install("late-scores", "late_tokens=late", GOOD)
    assert "late_tokens" in score_names()
    assert score_function_names() == sorted(score_names())
    assert Selection(score="late_tokens", ratio=0.5).parts[0].score == "late_tokens"
    inputs = ScoreInputs({"token_positions": torch.arange(4)})
    assert score_function("late_tokens").compute(inputs).tolist() == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import no_such_module_at_all", "cannot be loaded: ModuleNotFoundError: No module named 'no_such_module_at"),
        ("1 / 0", "cannot be loaded: ZeroDivisionError"),
        ("late = len", "expected a ScoreFunction whose name is 'late_tokens'"),
        (GOOD.replace("late_tokens", "other"), "expected a ScoreFunction whose name is 'late_tokens'"),
    ],
)
def test_a_broken_package_is_named(install: Install, source: str, words: str) -> None:
    install("late-scores", "late_tokens=late", source)
    with pytest.raises(PluginError, match=r"of the package late-scores 1\.5") as caught:
        score_function("late_tokens")
    assert words in str(caught.value)


def test_a_name_that_is_taken_is_told_with_both_owners(install: Install) -> None:
    install("my-scores", "excess_loss=late", GOOD)
    with pytest.raises(PluginError, match=r"the package my-scores 1\.5 offers .* 'excess_loss', but rho1bench itself"):
        score_function("random")
    with pytest.raises(PluginError, match="my-scores"):
        load_recipe("quickstart")


def test_two_packages_with_one_name(install: Install) -> None:
    install("first-scores", "late_tokens=late", GOOD)
    install("second-scores", "late_tokens=late", GOOD)
    with pytest.raises(PluginError, match="late_tokens") as caught:
        score_names()
    assert "first-scores" in str(caught.value)
    assert "second-scores" in str(caught.value)


def test_an_unknown_score_is_told_with_the_nearest(install: Install) -> None:
    install("late-scores", "late_tokens=late", GOOD)
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", ["stages.slm.selection.score=late_token"])
    assert "stages.slm.selection.score: expected one of excess_loss, reference_loss" in str(caught.value)
    assert "got 'late_token' (did you mean 'late_tokens'?)" in str(caught.value)
