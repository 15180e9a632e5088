"""Scores of tokenised rows by a reference in this process, kept beside the rows themselves (section 2.2, step 2).

The small sister of the score store, for text that is no packed corpus: samples of fine-tuning, and data sets that
another trainer reads. Shapes: T tokens of a row, S = T - 1 predicted ones, B rows of a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from rho1bench.corpus.masking import IGNORED
from rho1bench.errors import CheckpointError, DataError
from rho1bench.modeling.causal_lm import context_length, load_model, vocabulary_size
from rho1bench.recipe.models.rule_specs import ENTROPIES, LOSS_RANKS, LOSSES
from rho1bench.selection.local_reference import score_blocks

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

RowScores = npt.NDArray[np.float32]
"""Loss and entropy (nats) of positions 1 to T - 1 of a row, shape (T - 1, 2)."""
Scores = list[RowScores]
"""Those of every row, in order."""


def score_dataset(
    dataset: Dataset, reference: PreTrainedModel | str | Path, *, name: str = "reference", batch_size: int = 8
) -> Dataset:
    """Return ``dataset`` with what rules read of ``reference``: a trainer with a ``selection`` then needs no model.

    Args:
        dataset: rows with ``input_ids``, and ``labels`` where not every token is learnt (-100: not).
        reference: a causal language model of the same vocabulary, or its folder. It is moved to a GPU if there is one.
        name: what rules call it: the new columns are ``name.losses`` and ``name.entropies`` (float32 nats, as a
            recipe's fine-tuning keeps them) and ``name.loss_ranks`` (among the learnt tokens, 0 to 1). Each is as long
            as ``input_ids``; the first token, which nothing predicts, has 0.
        batch_size: rows of one forward pass.

    Raises:
        DataError: there is no column ``input_ids``, or a row has fewer than two tokens.
        CheckpointError: the model cannot be loaded, reads too short a text, or its losses are not finite.
    """
    if "input_ids" not in dataset.column_names:
        found = ", ".join(dataset.column_names)
        raise DataError(f"the data set has the columns {found}; expected input_ids. Tokenise its text first.")
    rows = [list(row) for row in dataset["input_ids"]]
    model = loaded_reference(reference)
    _check_rows(rows, model)
    scores = score_rows(model, rows, batch_size)
    check_finite(scores, name)
    labels = dataset["labels"] if "labels" in dataset.column_names else rows
    learnt = [np.array(row[1:]) != IGNORED for row in labels]
    ordered = np.sort(np.concatenate([found_S2[mask, 0] for found_S2, mask in zip(scores, learnt, strict=True)]))
    columns = {
        LOSSES: [found_S2[:, 0] for found_S2 in scores],
        ENTROPIES: [found_S2[:, 1] for found_S2 in scores],
        LOSS_RANKS: [loss_ranks(found_S2[:, 0], ordered) for found_S2 in scores],
    }
    for kind, values in columns.items():
        dataset = dataset.add_column(f"{name}.{kind}", [[0.0, *row.tolist()] for row in values])
    return dataset


def loaded_reference(reference: PreTrainedModel | str | Path) -> PreTrainedModel:
    """Return a reference that is given as a model or as its folder; raises CheckpointError as ``load_model``."""
    model = load_model(Path(reference)) if isinstance(reference, str | Path) else reference
    model.eval()
    return model


def score_rows(model: PreTrainedModel, rows: Sequence[Sequence[int]], batch_size: int) -> Scores:
    """Score rows of tokens in batches of like length."""
    scores = score_batches(model, rows, batches_of_like_length(rows, batch_size))
    return [scores[number] for number in range(len(rows))]


def batches_of_like_length(rows: Sequence[Sequence[int]], batch_size: int) -> list[list[int]]:
    """Return the numbers of the rows in batches, the shortest rows first."""
    by_length = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    return [by_length[start : start + batch_size] for start in range(0, len(rows), batch_size)]


def score_batches(
    model: PreTrainedModel, rows: Sequence[Sequence[int]], batches: Iterable[Sequence[int]], precision: str = "fp32"
) -> dict[int, RowScores]:
    """Return the scores of the rows in ``batches`` by number; ``bf16`` multiplies in bfloat16, as training does.

    What is padded on the right changes nothing to its left.
    """
    scores: dict[int, RowScores] = {}
    if torch.cuda.is_available():
        model = nn.Module.to(model, "cuda")
    for numbers in batches:
        width = max(len(rows[number]) for number in numbers)
        blocks_BT = torch.tensor([[*rows[number], *[0] * (width - len(rows[number]))] for number in numbers])
        with torch.autocast(model.device.type, torch.bfloat16, enabled=precision == "bf16"):
            scores_BS2 = score_blocks(model, blocks_BT.to(model.device)).float().cpu().numpy()
        for place, number in enumerate(numbers):
            scores[number] = scores_BS2[place, : len(rows[number]) - 1]
    return scores


def check_finite(scores: Iterable[RowScores], name: str) -> None:
    """Raise CheckpointError if a score by the reference called ``name`` is not finite."""
    if not all(np.isfinite(found_S2).all() for found_S2 in scores):
        raise CheckpointError(f"{name}: gives a loss or an entropy that is not finite. Load it, or score, in float32.")


def loss_ranks(losses_S: npt.NDArray[np.float32], ordered: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the share of ``ordered`` losses below each loss; equal ones share their middle."""
    below, upto = (np.searchsorted(ordered, losses_S, side=side) for side in ("left", "right"))
    return ((below + upto) / 2 / max(len(ordered), 1)).astype(np.float32)


def _check_rows(rows: Sequence[Sequence[int]], model: PreTrainedModel) -> None:
    short = next((number for number, row in enumerate(rows) if len(row) < 2), None)
    if short is not None:
        raise DataError(
            f"row {short} of the data set has fewer than two tokens, of which none is predicted. Leave it out."
        )
    longest, most = max(map(len, rows), default=0), context_length(model)
    largest, known = max((max(row) for row in rows), default=0), vocabulary_size(model)
    if (most is not None and longest > most) or largest >= known:
        raise CheckpointError(
            f"{type(model).__name__}: reads at most {most} tokens of a vocabulary of {known}, but the data set has "
            f"rows of {longest} tokens and the token {largest}. Take a reference that has the data set's tokenizer."
        )
