"""A packed corpus as rows for any trainer: token ids, labels, and the scores that a score stage has stored.

Place in the pipeline: between ``corpus`` and ``selection``, which a recipe or ``rho1bench score`` has carried out, and
a trainer of one's own (``trainers.selective_loss``). Shapes: T positions of a block.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from rho1bench.corpus.masking import IGNORED, eligible_targets, position_ids
from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.recipe.models.rule_specs import ENTROPIES, LOSS_RANKS, LOSSES
from rho1bench.selection.score_store import TokenScores


class PackedRows(Dataset[dict[str, Tensor]]):
    """See :func:`packed_rows`."""

    def __init__(self, corpus: PackedCorpus, stores: dict[str, TokenScores]) -> None:
        self.corpus, self.stores = corpus, stores
        self.column_names = ["input_ids", "labels"] + (["position_ids"] if corpus.document_ids is not None else [])
        self.column_names += [f"{store}.{kind}" for store, scores in stores.items() for kind in _kinds(scores)]

    def __len__(self) -> int:
        return len(self.corpus)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return one block: ids, labels and scores of its T tokens; the first one has no score (0) and no loss."""
        input_ids = torch.from_numpy(self.corpus.block(index))
        row = {"input_ids": input_ids, "labels": input_ids.clone()}
        if self.corpus.document_ids is not None:
            numbers_1T = self.corpus.document_ids[index][None]
            row["position_ids"] = torch.from_numpy(position_ids(numbers_1T)[0])
            row["labels"][1:][~torch.from_numpy(eligible_targets(numbers_1T)[0])] = IGNORED
        for store, scores in self.stores.items():
            for kind in _kinds(scores):
                row[f"{store}.{kind}"] = torch.from_numpy(scores.values(index, kind)).nan_to_num(0.0)
        return row


def packed_rows(corpus: str | Path, **stores: str | Path) -> PackedRows:
    """Return the blocks of a packed corpus as a data set, for ``transformers.Trainer`` and others.

    Args:
        corpus: the folder of a corpus stage.
        stores: folders of score stages by the name under which rules read them: ``reference=FOLDER`` gives the columns
            ``reference.losses``, ``reference.entropies`` (float32 nats) and ``reference.loss_ranks`` (0 to 1).

    Raises:
        DataError: the folder holds no packed corpus, or one that was changed.
        ScoreStoreError: a store is none, was changed, or is of another corpus.
    """
    packed = PackedCorpus(Path(corpus))
    packed.check_files()
    scores = {name: TokenScores(Path(folder)) for name, folder in stores.items()}
    for store in scores.values():
        store.check_files()
        store.check(packed)
    return PackedRows(packed, scores)


def _kinds(scores: TokenScores) -> list[str]:
    return [LOSSES, *([ENTROPIES] if scores.meta["has_entropy"] else []), LOSS_RANKS]
