"""The columns of an atlas: what checkpoints and the reference say of every token, and where rules rank it.

Ranking is over all tokens of the atlas; in training it is over those of an optimizer step, or less (``scope``).
Shapes: B blocks, T positions, S = T - 1 predicted ones, N = B * T.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rho1bench.atlas.columns import Bytes, Floats, largest, percents, steps
from rho1bench.atlas.request import RuleUse
from rho1bench.atlas.text import AtlasText
from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.errors import DataError
from rho1bench.recipe.models.rule_specs import ENTROPIES, LOSSES, stored_part
from rho1bench.selection.block_reader import BlockReader
from rho1bench.selection.rule import ScoreInputs
from rho1bench.selection.score_functions import ScoreFunction, score_function
from rho1bench.selection.score_store import TokenScores

REFERENCE = "reference"
LOSS, ENTROPY, RANK = "loss", "entropy", "rank"


@dataclass(frozen=True)
class Column:
    """One byte a token (``atlas.columns``)."""

    kind: str
    """``loss``, ``entropy`` or ``rank``."""
    of: str
    """The checkpoint's label, ``reference``, or for ranks the rule's label."""
    at: str
    """For ranks, the checkpoint that the rule reads; empty where it reads none."""
    top: float
    """What the highest step stands for, nats; 0 for ranks."""
    codes_N: Bytes


def model_columns(label: str, scores_BT2: Floats) -> Iterator[Column]:
    """Yield loss and entropy of a model; no entropies where a store has none."""
    for kind, place in ((LOSS, 0), (ENTROPY, 1)):
        values_N = scores_BT2[:, :, place].ravel()
        if np.isfinite(values_N).any():
            top = largest(values_N)
            yield Column(kind, label, "", top, steps(values_N, top))


def reference_scores(store: TokenScores, blocks: Sequence[int]) -> Floats:
    """Return stored loss and entropy of blocks in nats, (B, T, 2)."""
    return np.stack([store.block(block) for block in blocks])


class RuleRanks:
    """Ranks the tokens of ``text`` by rules that read ``stores`` and checkpoints."""

    def __init__(
        self, corpus: PackedCorpus, text: AtlasText, stores: Mapping[str, TokenScores], eos: int, seed: int
    ) -> None:
        self._corpus, self._text, self._stores = corpus, text, stores
        self._eos, self._seed = eos, seed

    def columns(self, use: RuleUse, checkpoints: Mapping[str, Floats], *, required: bool = True) -> Iterator[Column]:
        """Yield a rule's ranks: one column a checkpoint (scores (B, T, 2)), a single one where it reads none.

        Raises DataError where an input is not known; yields nothing then if it is not ``required``.
        """
        function = score_function(use.name)
        missing = [name for name in function.inputs if not self._is_known(name)]
        if missing and required:
            raise DataError(
                f"the rule {use.name!r} reads {', '.join(missing)}, and the run has no such stored scores of "
                f"{self._corpus.folder.name!r}. Its stores: {', '.join(self._stores) or 'none'}; "
                "`rho1bench rules` lists what each rule reads."
            )
        if missing:
            return
        known = BlockReader(self._corpus, function.inputs, self._stores, self._eos).batch(
            self._text.blocks, self._text.blocks
        )["inputs"]
        labels = list(checkpoints) if function.spec.reads_model else [""]
        for label in labels:
            current = _current(checkpoints[label]) if label else {}
            scores = self._scores(function, use, known | current)
            yield Column(RANK, use.label, label, 0.0, percents(_stream(scores), _stream(known["eligible"]) > 0))

    def _is_known(self, name: str) -> bool:
        part = stored_part(name)
        if part is None:
            return True
        store = self._stores.get(part[0])
        return store is not None and (part[1] != ENTROPIES or bool(store.meta["has_entropy"]))

    def _scores(self, function: ScoreFunction, use: RuleUse, inputs: Mapping[str, Tensor]) -> Tensor:
        settings = function.parameters.model_validate(dict(use.parameters))
        read = {name: inputs[name] for name in function.inputs}
        with torch.no_grad():
            return function.compute(ScoreInputs(read, self._seed, settings=settings)).float()


def _current(scores_BT2: Floats) -> dict[str, Tensor]:
    return {LOSSES: torch.from_numpy(scores_BT2[:, 1:, 0]), ENTROPIES: torch.from_numpy(scores_BT2[:, 1:, 1])}


def _stream(values_BS: Tensor) -> npt.NDArray[np.float32]:
    """Return predicted positions as the stream has them, (N,), with a zero for the first of each block."""
    padded = torch.nn.functional.pad(values_BS.to(torch.float32), (1, 0))
    found: npt.NDArray[np.float32] = padded.numpy().ravel()
    return found
