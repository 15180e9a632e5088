"""The selective loss in fine-tuning, which the paper leaves as future work: the best-scored labelled tokens are learnt.

The reference scores every sample once before training (``sample_scores``). Shapes: B samples, T positions of the
longest sample of an optimizer step (so that its tokens can be ranked together), S = T - 1 predicted positions.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from rho1bench.corpus.masking import IGNORED
from rho1bench.recipe.models.rule_specs import ENTROPIES, LOSS_RANKS, stored_part
from rho1bench.selection.block_reader import Batch
from rho1bench.selection.dataset_scores import Scores, loss_ranks
from rho1bench.training.sft_data import TokenisedSample


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


def _padded(values: Sequence[int], width: int, filling: int) -> Tensor:
    return torch.tensor([*values, *[filling] * (width - len(values))])
