"""The checkpoints that are followed, from where a stage started to its end, and what each says of the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rho1bench.analysis.checkpoint_scores import LOSS, Scores, checkpoint_scores
from rho1bench.analysis.results import Place
from rho1bench.analysis.text import AnalysedText
from rho1bench.errors import DataError
from rho1bench.modeling.causal_lm import weights_sha256
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import AnalysisStage, CorpusStage, PretrainStage
from rho1bench.system.files import atomic_path, sha256_json


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint; ``label`` is what an evaluation calls it."""

    label: str
    place: Place
    folder: Path


@dataclass(frozen=True)
class Curve:
    """A stage and its checkpoints, ascending."""

    stage: PretrainStage
    checkpoints: Sequence[Checkpoint]

    @property
    def places(self) -> list[Place]:
        """Where the checkpoints stand."""
        return [checkpoint.place for checkpoint in self.checkpoints]

    @property
    def tokens(self) -> list[float]:
        """Training tokens at each."""
        return [float(place.tokens) for place in self.places]


def curve_of(context: StageContext, name: str) -> Curve:
    """Return a stage's checkpoints; raises DataError where the stage's folder has none."""
    stage = context.recipe.stage(name, PretrainStage)
    folder = context.input(name)
    block_size = context.recipe.stage(stage.corpus, CorpusStage).block_size
    found = []
    if stage.init_stage is not None:
        found.append(
            Checkpoint(stage.init_stage, Place(step=0, tokens=0), context.input(stage.init_stage) / "checkpoint")
        )
    for path in sorted((folder / "checkpoints").glob("step-*")):
        step = int(path.name.partition("-")[2])
        if step < stage.max_steps:
            place = Place(step=step, tokens=step * stage.batch_size * block_size)
            found.append(Checkpoint(f"{name}@{step:06d}", place, path))
    if not (folder / "checkpoint" / "config.json").is_file():
        raise DataError(f"{folder}: holds no checkpoint. Run the stage first.")
    last = Place(step=stage.max_steps, tokens=stage.max_steps * stage.batch_size * block_size)
    return Curve(stage, [*found, Checkpoint(name, last, folder / "checkpoint")])


class ScoreCache:
    """What checkpoints say of one text; kept in files until the analysis is finished, so that a killed one goes on."""

    def __init__(self, context: StageContext, text: AnalysedText) -> None:
        self._stage, self._folder = context.config(AnalysisStage), context.folder / "scores"
        self._text, self._progress = text, context.progress
        self._known: dict[Path, Scores] = {}

    def scores(self, checkpoint: Path) -> Scores:
        """Return loss and entropy, (B, T, 2); raises CheckpointError as ``checkpoint_scores``."""
        if checkpoint not in self._known:
            path = self._folder / f"{self._key(checkpoint)}.npy"
            found = np.load(path, allow_pickle=False) if path.is_file() else self._make(checkpoint, path)
            self._known[checkpoint] = found
        return self._known[checkpoint]

    def losses_CN(self, curve: Curve) -> Scores:
        """Return the losses of the tokens that have a target at each checkpoint, (C, N)."""
        rows = [self._text.of_targets(self.scores(one.folder)[:, :, LOSS]) for one in curve.checkpoints]
        return np.stack(rows).astype(np.float32)

    def _key(self, checkpoint: Path) -> str:
        text = self._text.corpus.fingerprint, self._text.blocks
        return sha256_json([weights_sha256(checkpoint), *text, self._stage.precision])[:16]

    def _make(self, checkpoint: Path, path: Path) -> Scores:
        self._progress.message(f"reading with {checkpoint.parent.name}/{checkpoint.name}")
        self._progress.start(len(self._text.blocks), "blocks")
        found = checkpoint_scores(
            checkpoint,
            self._text.corpus,
            self._text.blocks,
            batch_size=self._stage.batch_size,
            precision=self._stage.precision,
            tokenizer=self._text.tokenizer,
            report=self._progress.update,
        )
        with atomic_path(path) as temporary, temporary.open("wb") as handle:
            np.save(handle, found, allow_pickle=False)
        return found
