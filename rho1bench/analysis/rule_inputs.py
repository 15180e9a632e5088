"""What selection rules read, for the tokens of an analysed text: from score stores, or asked of the models themselves.

A store holds the scores of one corpus. Where the text is another one, the store's own reference is asked about it; so
``base`` and ``earlier`` fall back on the checkpoint that training started from. Shapes: B blocks, S positions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rho1bench.analysis.agreement import ranks
from rho1bench.analysis.checkpoint_scores import ENTROPY, LOSS, Scores
from rho1bench.analysis.checkpoints import ScoreCache
from rho1bench.analysis.text import AnalysedText
from rho1bench.corpus.tokenizer import special_tokens
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import PretrainedModel, ScoreStage
from rho1bench.recipe.models.rule_specs import EARLIER, ENTROPIES, LOSS_RANKS, LOSSES, MODEL_INPUTS, stored_part
from rho1bench.selection.block_reader import BlockReader
from rho1bench.selection.score_store import TokenScores
from rho1bench.system.hub import find_model

BASE = "base"


class RuleInputs:
    """Inputs by name, (B, S) each, of a text and the score stages that a selection names."""

    def __init__(
        self,
        context: StageContext,
        text: AnalysedText,
        cache: ScoreCache,
        stores: Mapping[str, str],
        start: Path | None,
    ) -> None:
        self._context, self._text, self._cache = context, text, cache
        self._models: dict[str, Path] = {} if start is None else {BASE: start, EARLIER: start}
        self._stores: dict[str, TokenScores] = {}
        for name, stage in stores.items():
            self._add(name, context.recipe.stage(stage, ScoreStage))

    def _add(self, name: str, stage: ScoreStage) -> None:
        """Take the store where it is one of this text, else the model that made it; a server cannot be asked again."""
        if self._context.input(stage.corpus) == self._text.corpus.folder:
            self._stores[name] = TokenScores(self._context.input(stage.name))
            self._stores[name].check(self._text.corpus)
        elif isinstance(stage.reference, PretrainedModel):
            self._models[name] = find_model(stage.reference.pretrained, stage.reference.revision)[0]
        elif stage.reference is not None:
            self._models[name] = self._context.input(stage.reference) / "checkpoint"

    def missing(self, names: Collection[str]) -> list[str]:
        """Return the names of inputs that cannot be had here."""
        return sorted(name for name in names if name not in MODEL_INPUTS and not self._is_known(name))

    def _is_known(self, name: str) -> bool:
        part = stored_part(name)
        if part is None or part[0] in self._models:
            return True
        store = self._stores.get(part[0])
        return store is not None and (part[1] != ENTROPIES or bool(store.meta["has_entropy"]))

    def fixed(self, names: Collection[str]) -> dict[str, Tensor]:
        """Return those inputs that are the same at every checkpoint, and ``eligible``; none may be ``missing``."""
        blocks, eos = self._text.blocks, special_tokens(self._text.tokenizer).eos
        wanted = set(names) - MODEL_INPUTS
        found: dict[str, Tensor] = BlockReader(self._text.corpus, wanted, self._stores, eos).batch(blocks, blocks)[
            "inputs"
        ]
        for name in wanted - set(found):
            part = stored_part(name)
            assert part is not None, "all others are given by the reader"
            found[name] = self._of_model(self._models[part[0]], part[1])
        return found

    def _of_model(self, checkpoint: Path, kind: str) -> Tensor:
        values_BS = self._cache.scores(checkpoint)[:, 1:, ENTROPY if kind == ENTROPIES else LOSS]
        if kind == LOSS_RANKS:
            values_BS = ranks(values_BS.ravel()).reshape(values_BS.shape).astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(values_BS))


def current(scores_BT2: Scores) -> dict[str, Tensor]:
    """Return what rules may read of a checkpoint itself."""
    losses, entropies = (np.ascontiguousarray(scores_BT2[:, 1:, place]) for place in (LOSS, ENTROPY))
    return {LOSSES: torch.from_numpy(losses), ENTROPIES: torch.from_numpy(entropies)}
