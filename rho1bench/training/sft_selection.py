"""The selective loss in fine-tuning, which the paper leaves as future work: the best-scored labelled tokens are learnt.

The reference scores every sample once before training. Shapes: B samples, T positions of the longest sample of an
optimizer step (so that its tokens can be ranked together), S = T - 1 predicted positions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from rho1bench.corpus.masking import IGNORED
from rho1bench.modeling.causal_lm import size_of_model
from rho1bench.modeling.distributed import is_main, wait_for_everyone
from rho1bench.recipe.models.rule_specs import ENTROPIES, LOSS_RANKS, stored_part
from rho1bench.selection.block_reader import Batch
from rho1bench.selection.dataset_scores import Scores, loss_ranks, score_rows
from rho1bench.selection.local_reference import scoring_flops
from rho1bench.selection.score_store import note_hash, noted_hashes
from rho1bench.sizing.cost import Cost
from rho1bench.system.files import atomic_path, changed_files, read_json, write_json
from rho1bench.system.provenance import device
from rho1bench.training.sft_data import TokenisedSample

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SCORES = "reference_scores.npy"
"""Of the samples, in the stage's folder."""


class SampleDataset(Dataset[Batch]):
    """Samples in training order as padded batches of what selection needs; fetched a whole batch at a time.

    ``scores`` are the reference's, ``wanted`` the names of inputs that rules read; a sample is a document.
    """

    def __init__(
        self,
        samples: Sequence[TokenisedSample],
        order: npt.NDArray[np.int64],
        batch_size: int,
        pad_id: int,
        scores: Scores | None,
        wanted: Collection[str] = (),
    ) -> None:
        self.samples, self.order, self.scores = samples, order, scores
        self._batch_size, self._pad_id = batch_size, pad_id
        self._stride = max(len(sample.input_ids) for sample in samples)
        self._stored = {name: part[1] for name in sorted(wanted) if (part := stored_part(name)) and scores is not None}
        self._ranks = _ordered_losses(samples, scores) if scores and LOSS_RANKS in self._stored.values() else None

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, places: Sequence[int]) -> Batch:
        """Return input_ids (B, T), num_tokens (B,) and inputs by name, (B, S) each."""
        numbers = [int(self.order[place]) for place in places]
        width = self._width(places[0])
        chosen = [self.samples[number] for number in numbers]
        labels_BT = torch.stack([_padded(sample.labels, width, IGNORED) for sample in chosen])
        input_ids = torch.stack([_padded(sample.input_ids, width, self._pad_id) for sample in chosen])
        place_B1, position_S = torch.tensor(places).unsqueeze(1), torch.arange(1, width)
        inputs = {
            "eligible": labels_BT[:, 1:] != IGNORED,
            "token_positions": place_B1 * self._stride + position_S,
            "target_ids": input_ids[:, 1:].contiguous(),
            "block_positions": position_S.repeat(len(chosen), 1),
            "document_positions": position_S.repeat(len(chosen), 1),
            "document_ids": place_B1.repeat(1, width - 1),
        }
        inputs |= {name: self._stored_rows(numbers, kind, width - 1) for name, kind in self._stored.items()}
        num_tokens = torch.tensor([len(sample.input_ids) for sample in chosen])
        return {"input_ids": input_ids, "inputs": inputs, "num_tokens": num_tokens}

    def _stored_rows(self, numbers: Sequence[int], kind: str, width: int) -> Tensor:
        assert self.scores is not None, "there are stored inputs only with scores"
        rows_BS = torch.zeros(len(numbers), width)
        for row, number in enumerate(numbers):
            scores_S2 = self.scores[number]
            values_S = scores_S2[:, 1 if kind == ENTROPIES else 0]
            if kind == LOSS_RANKS:
                assert self._ranks is not None, "made where ranks are wanted"
                values_S = loss_ranks(values_S, self._ranks)
            rows_BS[row, : len(values_S)] = torch.from_numpy(np.ascontiguousarray(values_S))
        return rows_BS

    def _width(self, place: int) -> int:
        """Return the length of the longest sample of the optimizer step that ``place`` belongs to."""
        start = place // self._batch_size * self._batch_size
        return max(len(self.samples[number].input_ids) for number in self.order[start : start + self._batch_size])


def _ordered_losses(samples: Sequence[TokenisedSample], scores: Scores) -> npt.NDArray[np.float32]:
    """Return the labelled tokens' losses in order."""
    labelled = [np.array(sample.labels[1:]) != IGNORED for sample in samples]
    return np.sort(np.concatenate([rows[mask, 0] for rows, mask in zip(scores, labelled, strict=True)]))


def stored_scores(
    path: Path, load: Callable[[], PreTrainedModel], samples: Sequence[TokenisedSample], batch_size: int
) -> Scores:
    """Return the scores of every sample by the reference that ``load`` gives; rank 0 makes them once, in ``path``.

    A file that changed since it was written is made again. What scoring took is beside it, see :func:`scoring_cost`.
    """
    if is_main() and (not path.exists() or changed_files(path.parent, noted_hashes(path.parent))):
        began, model = time.monotonic(), load().eval()
        scores = score_rows(model, [sample.input_ids for sample in samples], batch_size)
        lengths = [len(sample.input_ids) for sample in samples]
        flops = sum(scoring_flops(size_of_model(model), 1, length) for length in lengths)
        cost = Cost(flops=flops, seconds=round(time.monotonic() - began, 3), hardware=device())
        write_json(path.with_suffix(".json"), cost.model_dump())
        with atomic_path(path) as temporary, temporary.open("wb") as handle:
            np.save(handle, np.concatenate(scores), allow_pickle=False)
        note_hash(path)
    wait_for_everyone()
    ends = np.cumsum([len(sample.input_ids) - 1 for sample in samples])[:-1]
    return list(np.split(np.load(path, allow_pickle=False), ends))


def scoring_cost(path: Path) -> Cost:
    """Return what making the scores in ``path`` took."""
    return Cost.model_validate(read_json(path.with_suffix(".json")))


def _padded(values: Sequence[int], width: int, filling: int) -> Tensor:
    return torch.tensor([*values, *[filling] * (width - len(values))])
