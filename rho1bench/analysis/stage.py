"""Stage ``analysis`` and ``rho1bench analyze``: the paper's figures of single tokens, from a run's checkpoints.

Follows the tokens of one text through the checkpoints of pretraining stages, and writes ``analysis.json``, a page, and
for each figure an SVG and its numbers as CSV. Place in the pipeline: after training and evaluation, before the report.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import numpy as np
import torch

from rho1bench.analysis.accuracy import accuracy_by_loss, accuracy_by_ratio, check_suite, suite_along_the_way
from rho1bench.analysis.checkpoint_scores import LOSS, evenly_spread
from rho1bench.analysis.checkpoints import Curve, ScoreCache, curve_of
from rho1bench.analysis.choices import ChoiceAnalysis, split_losses
from rho1bench.analysis.dynamics import HIGH, LOW, Dynamics, token_dynamics
from rho1bench.analysis.files import write_analysis
from rho1bench.analysis.results import (
    AccuracyByLoss,
    AccuracyByRatio,
    Analysis,
    ClassDynamics,
    SplitLosses,
    TokenLine,
)
from rho1bench.analysis.text import AnalysedText, Floats
from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import AnalysisStage, CorpusStage

JUMP = 1.0
"""Nats above its earlier mean at which a token's last loss is a jump (figure 12)."""
_RESTLESS = 2
"""Tokens of each of two classes that are shown one by one."""


def run(context: StageContext) -> None:
    """Analyse and write; goes on with the checkpoints that a killed attempt had read.

    Raises CheckpointError, DataError or ScoreStoreError for folders of stages that do not hold what they should.
    """
    if context.options.num_threads is not None:
        torch.set_num_threads(context.options.num_threads)
    found = analyse(context)
    write_analysis(context.folder, found)
    shutil.rmtree(context.folder / "scores", ignore_errors=True)


def analyse(context: StageContext) -> Analysis:
    """Return the analysis that the stage asks for."""
    stage = context.config(AnalysisStage)
    curves = [curve_of(context, name) for name in stage.curves]
    text = _text(context, stage, curves)
    cache = ScoreCache(context, text)
    losses = [cache.losses_CN(curve) for curve in curves]
    notes: list[str] = []
    dynamics = []
    for curve, losses_CN in zip(curves, losses, strict=True):
        if len(curve.checkpoints) < 2:
            notes.append(f"{curve.stage.name} has one checkpoint only, so nothing can be said of its way.")
            continue
        dynamics.append(_dynamics(text, curve, losses_CN, cache))
    analysis = Analysis(
        recipe=context.recipe.name,
        seed=context.seed,
        corpus=stage.corpus or curves[0].stage.corpus,
        num_blocks=len(text.blocks),
        num_tokens=len(text.targets_N),
        is_training_text=any(curve.stage.corpus == (stage.corpus or curves[0].stage.corpus) for curve in curves),
        dynamics=dynamics,
        notes=notes,
    )
    return _with_choices(context, analysis, text, cache, curves, losses)


def _text(context: StageContext, stage: AnalysisStage, curves: Sequence[Curve]) -> AnalysedText:
    name = stage.corpus or curves[0].stage.corpus
    corpus = PackedCorpus(context.input(name))
    corpus.check_files()
    blocks = evenly_spread(len(corpus), stage.num_tokens // corpus.block_size)
    tokenizer = context.input(context.recipe.stage(name, CorpusStage).tokenizer) / "tokenizer"
    return AnalysedText(corpus, blocks, tokenizer)


def _dynamics(text: AnalysedText, curve: Curve, losses_CN: Floats, cache: ScoreCache) -> ClassDynamics:
    found = token_dynamics(losses_CN, curve.tokens)
    last_BT = cache.scores(curve.checkpoints[-1].folder)[:, :, LOSS]
    jumped_N = found.jump_N > JUMP
    return ClassDynamics(
        stage=curve.stage.name,
        places=curve.places,
        shares=found.shares(),
        means=found.means(losses_CN),
        num_tokens=losses_CN.shape[1],
        restless=_restless(text, found, losses_CN),
        passages=text.passages(found.classes_N, last_BT),
        jumps=text.passages(jumped_N, last_BT)[:1],
        jump=JUMP,
        share_of_jumps=float(jumped_N.mean()),
    )


def _restless(text: AnalysedText, found: Dynamics, losses_CN: Floats) -> list[TokenLine]:
    """Return the tokens of L->L and H->H whose losses stray furthest from their lines."""
    lines = []
    for token_class in (LOW, HIGH):
        own = np.flatnonzero(found.classes_N == token_class)
        for place in own[np.argsort(-found.wobble_N[own], kind="stable")[:_RESTLESS]].tolist():
            token, before = text.context_of(place)
            losses = [float(loss) for loss in losses_CN[:, place]]
            lines.append(TokenLine(token=token, before=before, token_class=token_class, losses=losses))
    return lines


def _with_choices(
    context: StageContext,
    analysis: Analysis,
    text: AnalysedText,
    cache: ScoreCache,
    curves: Sequence[Curve],
    losses: Sequence[Floats],
) -> Analysis:
    """Add what the first selective stage chooses, and with an evaluation figures 7 and 9."""
    place = _chooser(curves)
    if place is None:
        return analysis.model_copy(update={"notes": [*analysis.notes, "No stage selects tokens."]})
    choice = ChoiceAnalysis(context, text, cache, curves[place])
    if (obstacle := choice.obstacle()) is not None:
        return analysis.model_copy(update={"notes": [*analysis.notes, obstacle]})
    chosen = choice.choose()
    split = [
        split_losses(context, curve, losses_CN, chosen.kept_CN[-1])
        for curve, losses_CN in zip(curves, losses, strict=True)
    ]
    parts: dict[str, object] = {"choices": choice.describe(chosen, losses[place]), "losses": split}
    by_loss, by_ratio = _accuracies(context, curves, split, place)
    return analysis.model_copy(update=parts | {"accuracy_by_loss": by_loss, "accuracy_by_ratio": by_ratio})


def _chooser(curves: Sequence[Curve]) -> int | None:
    """Return the first curve whose stage selects, else the first whose ``monitor`` does."""
    for watches in (False, True):
        for place, curve in enumerate(curves):
            if (curve.stage.monitor if watches else curve.stage.selection) is not None:
                return place
    return None


def _accuracies(
    context: StageContext, curves: Sequence[Curve], split: Sequence[SplitLosses], place: int
) -> tuple[AccuracyByLoss | None, AccuracyByRatio | None]:
    stage = context.config(AnalysisStage)
    if stage.evaluation is None:
        return None, None
    evaluation = context.input(stage.evaluation)
    check_suite(evaluation, stage.suite)
    suite = stage.suite or suite_along_the_way(evaluation)
    by_loss = accuracy_by_loss(evaluation, suite, curves, split, context.seed) if suite is not None else None
    return by_loss, accuracy_by_ratio(context.recipe, evaluation, stage.suite, curves[place].stage)
