"""Score functions of other packages: real installed metadata on a path of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rule_packages import CAUTIOUS, write_package
from small_recipe import problems, rho1bench
from typer.testing import CliRunner

from rho1bench.cli.app import app
from rho1bench.errors import PluginError, RecipeError
from rho1bench.recipe import Selection
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.recipe.models.score_names import score_names
from rho1bench.selection import score_functions
from rho1bench.selection.score_functions import ScoreInputs, score_function, score_function_names
from rho1bench.selection.selector import Selector
from rho1bench.system.files import read_jsonl

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
        # Another entry on the path: what was found before is not asked again.
        monkeypatch.syspath_prepend(str(write_package(tmp_path, package, entry, source)))

    return make


@pytest.mark.sweep
def test_the_template_is_a_package_that_installs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two files of CONTRIBUTING.md, installed by pip into a folder of the path."""
    page = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for name in ("pyproject.toml", "my_rules.py"):
        text = re.search(rf"^```\w+ {re.escape(name)}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        assert text is not None
        (source / name).write_text(text[1], encoding="utf-8")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(target), str(source)], check=True)
    monkeypatch.setattr(score_functions, "_SCORE_FUNCTIONS", dict(score_functions._SCORE_FUNCTIONS))
    monkeypatch.syspath_prepend(str(target))
    listed = CliRunner().invoke(app, ["rules"])
    assert "confident_gap" in listed.stdout
    selector = Selector(Selection(score="confident_gap", ratio=0.5, parameters={"most_nats": 2.0}), seed=0)
    given = {"losses": [3.0, 2.0, 4.0], "reference.losses": [1.0, 1.0, 1.0], "reference.entropies": [1.0, 1.0, 2.5]}
    tensors = {name: torch.tensor([row]) for name, row in given.items()} | {"eligible": torch.ones(1, 3).bool()}
    assert selector.select(selector.scores(tensors), tensors).tolist() == [[True, False, False]]


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
        (GOOD.replace('("token_positions",)', '("target_id",)'), "reads 'target_id' (did you mean 'target_ids'?)"),
        (GOOD.replace('("token_positions",)', '(), gives="weight"'), "expected scores or weights"),
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


def test_a_rule_that_reads_more_than_it_declares_is_told(install: Install) -> None:
    install("late-scores", "late_tokens=late", GOOD.replace('("token_positions",)', '("losses",)'))
    with pytest.raises(PluginError, match=r"reads 'token_positions', which is not among its inputs \(losses\)"):
        score_function("late_tokens").compute(ScoreInputs({"losses": torch.zeros(2)}))


def test_a_rule_with_parameters_is_listed_and_its_parameters_are_checked(install: Install) -> None:
    install("careful", "cautious=cautious", CAUTIOUS)
    listed = CliRunner().invoke(app, ["rules"], env={"COLUMNS": "200"}).output
    assert "cautious" in listed
    assert "careful 1.5" in listed
    assert "threshold 5.0" in listed
    one = CliRunner().invoke(app, ["rules", "cautious"]).output
    for words in ("weights", "entropies", "at least 0, default 5.0", "one of drop, halve, default drop", "careful 1.5"):
        assert words in one
    selection = "stages.slm.selection={score: cautious, parameters: {treshold: 1.0, beyond: halv}}"
    message = problems("quickstart", selection)
    assert "parameters.treshold: unknown key 'treshold' (did you mean 'threshold'?)" in message
    assert "parameters.beyond: expected one of drop, halve, got 'halv' (did you mean 'halve'?)" in message
    ratio = "stages.slm.selection={score: cautious, ratio: 0.5}"
    assert "the rule 'cautious' gives weights" in problems("quickstart", ratio)


RECIPE = """
name: packaged
stages:
  - {name: tokenizer, kind: tokenizer, vocab_size: 400, sources: [{type: mini_world, text: clean, num_documents: 40}]}
  - name: web
    kind: corpus
    tokenizer: tokenizer
    block_size: 48
    num_blocks: 16
    sources: [{type: mini_world, text: web, num_documents: 40}]
  - &train
    name: clm
    kind: pretrain
    corpus: web
    init:
      {hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2,
       max_position_embeddings: 512}
    optimizer: {learning_rate: 1e-3}
    batch_size: 4
    micro_batch_size: 2
    max_steps: 4
    logging_steps: 1
    num_threads: 1
  - {<<: *train, name: arm, selection: {score: cautious, parameters: {threshold: 5.9, beyond: halve}}}
  - name: eval
    kind: eval
    max_model_len: 384
    engine: hf
    evaluations: [{checkpoints: [clm, arm], suites: [mini_gsm8k], limit: 3}]
  - {name: compare, kind: compare, evaluation: eval, pairs: [{treatment: arm, baseline: clm}], num_resamples: 100}
"""


@pytest.mark.sweep
def test_a_rule_of_another_package_is_run_and_compared(tmp_path: Path) -> None:
    (tmp_path / "installed").mkdir()
    write_package(tmp_path / "installed", "careful", "cautious=cautious", CAUTIOUS)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    path = {"PYTHONPATH": os.pathsep.join([str(tmp_path / "installed"), str(Path(__file__).parents[2])])}
    run = ("run", tmp_path / "recipe.yaml", "--output", tmp_path / "run")
    missing = rho1bench(*run)
    assert missing.returncode == 2
    assert "stages.arm.selection.score: expected one of" in missing.stderr
    done = rho1bench(*run, **path)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = read_jsonl(tmp_path / "run/stages/arm/metrics.jsonl")
    assert [row["step"] for row in rows if "effective_ratio" in row] == [1, 2, 3, 4]
    assert '"arm"' in (tmp_path / "run/stages/compare/comparison.json").read_text()
