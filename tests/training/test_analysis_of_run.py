"""The stage ``analysis`` on a real run: its numbers against those counted another way, its figures, its resumption."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import world
from eval_folders import write_label

from rho1bench.analysis import stage as analysis_stage
from rho1bench.analysis.checkpoint_scores import checkpoint_scores
from rho1bench.analysis.dynamics import token_dynamics
from rho1bench.analysis.inspection import inspect_text
from rho1bench.analysis.results import Analysis, read_analysis
from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.errors import DataError
from rho1bench.pipeline.stage import RunOptions, StageContext
from rho1bench.recipe import Recipe
from rho1bench.selection.score_store import TokenScores
from rho1bench.system.progress import SilentProgress
from rho1bench.training.batch_view import read_batch
from rho1bench.training.datasets import block_order

TASKS = {"mini_gsm8k": 0, "mini_sat": 1}


def context_of(run: Path, folder: Path, **fields: object) -> StageContext:
    """The tiny run with an evaluation of the curves' checkpoints, and an analysis."""
    evaluated = {"checkpoints": ["slm", "clm"], "suites": ["mini_math9"], "trajectory": True}
    analysis = {"name": "inside", "kind": "analysis", "curves": ["slm", "clm"], **fields}
    stages = [*world.compared(), {"name": "eval", "kind": "eval", "evaluations": [evaluated]}, analysis]
    recipe = Recipe.model_validate({"name": "tiny", "stages": stages})
    inputs = {stage.name: run / stage.name for stage in recipe.stages} | {"eval": folder / "eval"}
    own = folder / "inside"
    own.mkdir(parents=True, exist_ok=True)
    return StageContext(recipe, recipe.stage("inside"), own, inputs, 0, SilentProgress(), RunOptions(num_threads=1))


def labels(run: Path) -> list[str]:
    along = [
        f"{name}@{int(path.name[5:]):06d}" for name in ("slm", "clm") for path in (run / name / "checkpoints").iterdir()
    ]
    return ["base", "slm", "clm", *sorted(along)]


@pytest.fixture(scope="module")
def analysed(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Analysis]:
    """Run, folder of the analysis, and what it says."""
    folder = tmp_path_factory.mktemp("analysed")
    for place, label in enumerate(labels(run)):
        right = {task: [float((doc + place) % 3 > shift) for doc in range(12)] for task, shift in TASKS.items()}
        write_label(folder / "eval", label, right)
    context = context_of(run, folder, evaluation="eval", num_tokens=2000)
    analysis_stage.run(context)
    return run, context.folder, read_analysis(context.folder)


def test_classes_and_choices_are_those_counted_by_hand(analysed: tuple[Path, Path, Analysis]) -> None:
    run, _, found = analysed
    corpus, store = PackedCorpus(run / "web"), TokenScores(run / "scores")
    blocks = [int(block) for block in np.linspace(0, len(corpus) - 1, 2000 // 48).round()]
    folders = [run / "base/checkpoint", *sorted((run / "slm/checkpoints").iterdir()), run / "slm/checkpoint"]
    losses = np.stack([checkpoint_scores(folder, corpus, blocks)[:, 1:, 0].ravel() for folder in folders])
    (slm, clm), choices = found.dynamics, found.choices
    assert (slm.stage, clm.stage, slm.num_tokens) == ("slm", "clm", losses.shape[1])
    places = [place.tokens for place in slm.places]
    assert places == [0, *(step * 8 * 48 for step in (4, 8, 12))]
    assert slm.shares == pytest.approx(token_dynamics(losses, places).shares())
    excess = losses[-1] - np.stack([store.block(block)[1:, 0] for block in blocks]).ravel()
    assert choices is not None
    assert choices.num_kept == int(0.6 * excess.size)
    kept = excess >= np.sort(excess)[::-1][choices.num_kept - 1]
    assert found.losses[0].selected[-1] == pytest.approx(losses[-1][kept].mean(), abs=1e-3)
    assert choices.perplexity is not None
    assert choices.perplexity.perplexities[-1][0] == pytest.approx(np.exp(losses[0][kept].mean()), rel=1e-3)
    for groups in (choices.by_kind, choices.by_position, choices.by_frequency):
        assert sum(group.num_kept for group in groups) == choices.num_kept
        assert sum(group.num_tokens for group in groups) == choices.num_tokens
    assert {group.name for group in choices.planted} & {"math", "wrong_number", "counters"}


def test_rules_and_accuracies(analysed: tuple[Path, Path, Analysis]) -> None:
    _, _, found = analysed
    assert found.choices is not None
    agreement = found.choices.agreement
    assert agreement is not None
    place = agreement.rules.index("excess_loss")
    assert (agreement.in_common[place][place], agreement.ratio) == (1.0, 0.6)
    assert agreement.in_common[place][agreement.rules.index("random")] == pytest.approx(0.6, abs=0.08)
    by_loss = found.accuracy_by_loss
    assert by_loss is not None
    assert (len(by_loss.points), by_loss.num_documents) == (8, 24)
    base = [point for point in by_loss.points if point.tokens == 0]
    assert base[0].accuracy == base[1].accuracy == pytest.approx((8 / 12 + 4 / 12) / 2)
    assert {fit.of for fit in by_loss.fits} == {"selected", "unselected"}


def test_every_figure_is_a_drawing_with_its_numbers(analysed: tuple[Path, Path, Analysis]) -> None:
    _, folder, _ = analysed
    drawings = sorted((folder / "figures").glob("*.svg"))
    names = {path.stem for path in drawings}
    wanted = "figure-3-slm figure-6-fixed-selected figure-7-selected figure-8 figure-11-clm figure-12-slm figure-13"
    assert {*wanted.split(), "figure-14", "agreement", "kept-by-kind", "kept-over-training", "excess-loss"} <= names
    page = (folder / "analysis.html").read_text()
    for path in drawings:
        assert ET.parse(path).getroot().get("role") == "img"
        rows = list(csv.reader(path.with_suffix(".csv").open(newline="")))
        assert len(rows) > 1
        assert {len(row) for row in rows} == {len(rows[0])}
        assert f'href="figures/{path.name}"' in page
    assert not (folder / "scores").exists()


def test_another_text_is_read_with_the_reference_itself(run: Path, tmp_path: Path) -> None:
    """Held-out text has no store, so the reference is asked; one that was killed goes on with what it had read."""
    context = context_of(run, tmp_path, corpus="held_out", num_tokens=480, curves=["slm"])
    analysis_stage.analyse(context)
    read = {path: path.stat().st_mtime_ns for path in (context.folder / "scores").iterdir()}
    assert len(read) == 5  # base, two along the way, the end; the reference
    found = analysis_stage.analyse(context)
    assert read == {path: path.stat().st_mtime_ns for path in (context.folder / "scores").iterdir()}
    assert not found.is_training_text
    assert found.choices is not None
    assert found.choices.num_kept == int(0.6 * found.num_tokens)
    assert found.accuracy_by_loss is None


def test_a_text_token_by_token(run: Path) -> None:
    """Ranked alone, of tokens that are those of the text again; a rule without its input is refused."""
    model, reference = str(run / "slm/checkpoint"), str(run / "reference/checkpoint")
    text = "Question: Kim has 13 hats.\nAnswer: 13-6=7. 你好"
    found = inspect_text(text, model, reference, "excess_loss", 0.5)
    assert "".join(token.text for token in found[1:]) == text
    excess = [token.loss - token.reference_loss for token in found[1:]]
    assert [token.score for token in found[1:]] == pytest.approx(excess)
    assert sorted(token.score for token in found if token.is_kept) == sorted(excess)[-(len(excess) // 2) :]
    weights = inspect_text(text, model, None, "probability_weight", 0.5)
    assert [token.score for token in weights[1:]] == pytest.approx([np.exp(-token.loss) for token in weights[1:]])
    for rule, words in (
        ("excess_loss", "--reference"),
        ("base_excess_loss", "--reference"),
        ("nope", "rho1bench rules"),
    ):
        with pytest.raises(DataError, match=words):
            inspect_text(text, model, None, rule, 0.5)


def test_a_long_text_is_read_in_parts(run: Path) -> None:
    found = inspect_text("Ben has 7 balls. " * 60, str(run / "slm/checkpoint"), None, "training_loss", 0.5)
    assert len(found) > 160  # the context of the model
    assert all(token.loss is not None for token in found[1:])


def test_a_batch_is_what_the_trainer_saw(run: Path, tmp_path: Path) -> None:
    context, corpus, store = context_of(run, tmp_path), PackedCorpus(run / "web"), TokenScores(run / "scores")
    found = read_batch(context, "slm", 5)
    order = block_order(len(corpus), 12 * 8, 0, corpus.fingerprint)[4 * 8 : 5 * 8].tolist()
    assert [one.block for one in found.blocks] == order
    assert (found.asked, found.is_exact) == ("slm@000004", True)
    checkpoint = run / "slm/checkpoints/step-000004"
    excess = checkpoint_scores(checkpoint, corpus, order)[:, 1:, 0] - np.stack([store.block(b)[1:, 0] for b in order])
    kept = np.array([[token.is_kept for token in one.tokens[1:]] for one in found.blocks])
    assert kept.sum() == int(0.6 * kept.size)
    assert excess[kept].min() >= excess[~kept].max()
    assert {token.weight for one in found.blocks for token in one.tokens} == {0.0, 1.0}
    assert not read_batch(context, "slm", 6).is_exact
    everything = read_batch(context, "clm", 1)
    assert everything.asked is None
    assert all(token.is_kept for one in everything.blocks for token in one.tokens[1:])
    with pytest.raises(DataError, match="the steps 1 to 12"):
        read_batch(context, "slm", 13)
