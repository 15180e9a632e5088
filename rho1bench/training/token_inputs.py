"""From the batches of any trainer (``input_ids``, ``labels``) to what selection needs to know of their tokens.

What a data set holds of its tokens already (``reference.losses``) goes past the trainer's own collator, which knows
nothing of such columns. Shapes: B rows, T positions, S = T - 1 predicted positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rho1bench.corpus.masking import IGNORED
from rho1bench.errors import TrainingError
from rho1bench.recipe.models.rule_specs import stored_part
from rho1bench.selection.block_reader import Batch

_READ = frozenset({"input_ids", "labels", "attention_mask", "position_ids"})
_WITHOUT_EFFECT = frozenset({"token_type_ids", "seq_lengths", "num_items_in_batch"})
"""Keys of batches that say nothing which ``labels`` and ``position_ids`` do not."""
STRIDE = 2**20
"""Between the numbers of the first tokens of two rows: more than any row has tokens."""


class ScoreCollator:
    """Calls ``collate`` without the rows' columns of scores, and adds those called ``names``: float32, (B, T)."""

    def __init__(self, collate: Callable[[list[Any]], Batch], names: Sequence[str]) -> None:
        self.collate, self.names = collate, tuple(names)

    def __call__(self, rows: list[Mapping[str, Any]]) -> Batch:
        """Return the batch; raises TrainingError for a row without one of the columns, or of another length."""
        values = {name: [_column(row, name) for row in rows] for name in self.names}
        batch = self.collate([{key: value for key, value in row.items() if stored_part(key) is None} for row in rows])
        width = int(batch["input_ids"].shape[1])
        for name, found in values.items():
            if len(batch["input_ids"]) != len(rows):
                raise TrainingError(
                    f"the data collator lays {len(rows)} rows end to end, which loses the places of {name!r}. Turn "
                    "packing and padding_free off, or give reference= instead of a scored data set."
                )
            batch[name] = torch.stack([torch.nn.functional.pad(row_T, (0, width - len(row_T))) for row_T in found])
        return batch


def _column(row: Mapping[str, Any], name: str) -> Tensor:
    if name not in row:
        raise TrainingError(
            f"the selection reads {name!r}, which the data set does not hold (its columns: {', '.join(row)}). Give "
            "reference=MODEL, or score the data set first (rho1bench.selection.score_dataset)."
        )
    values_T = torch.as_tensor(row[name], dtype=torch.float32)
    if len(values_T) != len(row["input_ids"]):
        raise TrainingError(f"a row has {len(row['input_ids'])} tokens and {len(values_T)} values of {name!r}.")
    return values_T


def token_inputs(batch: Batch, names: Sequence[str], first_row: int) -> Batch:
    """Return the arguments of :class:`~rho1bench.selection.selective_lm.SelectiveLM` for a trainer's batch.

    ``names`` are columns of the batch that rules read, ``first_row`` is the number of its first row in the stream of
    training. Where ``position_ids`` begin anew a document does; else every row is one. Raises TrainingError for a batch
    that the selective loss cannot read.
    """
    _check(batch, names)
    input_ids, labels = batch["input_ids"], batch["labels"]
    num_rows, width = input_ids.shape
    positions_BT = batch.get("position_ids")
    own_T = torch.arange(width, device=input_ids.device)
    if positions_BT is None:
        positions_BT = own_T.expand(num_rows, width)
    numbers_B1 = (first_row + torch.arange(num_rows, device=input_ids.device)).unsqueeze(1) * STRIDE
    inputs = {
        "eligible": labels[:, 1:] != IGNORED,
        "token_positions": numbers_B1 + own_T[1:],
        "target_ids": input_ids[:, 1:].contiguous(),
        "block_positions": own_T[1:].repeat(num_rows, 1),
        "document_positions": positions_BT[:, 1:].contiguous(),
        "document_ids": numbers_B1 + (positions_BT == 0).cumsum(dim=1)[:, 1:],
    }
    inputs |= {name: batch[name][:, 1:].contiguous() for name in names}
    found: Batch = {"input_ids": input_ids, "inputs": inputs}
    return found | ({"position_ids": batch["position_ids"]} if "position_ids" in batch else {})


def _check(batch: Batch, names: Sequence[str]) -> None:
    strange = sorted(set(batch) - _READ - _WITHOUT_EFFECT - set(names))
    if strange:
        raise TrainingError(
            f"the batches hold {', '.join(strange)}, which the selective loss does not read; expected input_ids, "
            "labels, attention_mask and position_ids. Turn padding_free off, or leave the columns out."
        )
    if "labels" not in batch:
        raise TrainingError(
            "the batches hold no labels, which say what tokens are learnt. Give the data set a column labels, or take "
            "DataCollatorForLanguageModeling(tokenizer, mlm=False)."
        )
    labels, input_ids = batch["labels"], batch["input_ids"]
    if bool(((labels != input_ids) & (labels != IGNORED)).any()):
        raise TrainingError("labels differ from input_ids where tokens are learnt; a causal model learns its input.")
    mask = batch.get("attention_mask")
    if mask is not None and (mask.dim() != 2 or bool((mask[:, 1:] > mask[:, :-1]).any())):
        raise TrainingError(
            "the batches are padded on the left, or with a mask of their own; expected padding on the right: "
            "tokenizer.padding_side = 'right'."
        )
