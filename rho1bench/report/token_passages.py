"""Text with the selected tokens marked, and what kinds of token were selected (paper figures 13 and 14).

Reads ``selected_tokens.jsonl``, the probe that a selective pretraining stage takes of a few fixed blocks of its corpus
at the beginning, in the middle and at the end of training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rho1bench.errors import DataError
from rho1bench.mini_world import NOISE_KINDS, WRONG_NUMBER_KIND
from rho1bench.system.files import read_jsonl

NUM_PASSAGES = 3


@dataclass(frozen=True)
class Token:
    """One token of a passage as a reader sees it."""

    text: str
    selected: bool
    group: str
    """``useful``, ``wrong`` or ``noise``."""
    kind: str
    loss: float | None
    """The model's loss at this step, nats; None at the first position, which has none."""
    reference_loss: float | None


@dataclass(frozen=True)
class Passage:
    """One block of the corpus at one moment of training."""

    step: int
    block: int
    tokens: Sequence[Token]


@dataclass(frozen=True)
class KindShare:
    """How much of one kind of token is selected."""

    kind: str
    share_of_tokens: float
    selected_share: Mapping[int, float]
    """By step: the share of this kind's tokens that is selected."""
    share_of_selected: Mapping[int, float]
    """By step: this kind's share among the selected tokens."""
    num_tokens: int


def read_probe(folder: Path) -> list[Passage]:
    """Return the probe's passages in the order of steps and blocks; empty for a stage without one."""
    path = folder / "selected_tokens.jsonl"
    if not path.exists():
        return []
    try:
        passages = [_passage(row) for row in read_jsonl(path)]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a probe of selected tokens ({error!r}). Run the stage again.") from error
    return sorted(passages, key=lambda passage: (passage.step, passage.block))


def _passage(row: Mapping[str, Any]) -> Passage:
    columns = (row["pieces"], row["selected"], row["kinds"], row["loss"], row["reference_loss"])
    tokens = [
        Token(piece, bool(selected), group_of(kind), kind, loss, reference)
        for piece, selected, kind, loss, reference in zip(*columns, strict=True)
    ]
    return Passage(int(row["step"]), int(row["block"]), tokens)


def group_of(kind: str) -> str:
    """Return ``noise`` and ``wrong`` for what the mini world plants in its text, ``useful`` for all other kinds."""
    if kind in NOISE_KINDS:
        return "noise"
    return "wrong" if kind == WRONG_NUMBER_KIND else "useful"


def steps(passages: Sequence[Passage]) -> list[int]:
    """Return the steps of the probe, ascending."""
    return sorted({passage.step for passage in passages})


def at_step(passages: Sequence[Passage], step: int) -> list[Passage]:
    """Return the passages of one step in the order of blocks."""
    return [passage for passage in passages if passage.step == step]


def kind_shares(passages: Sequence[Passage]) -> list[KindShare]:
    """Return how much of each kind is selected at each step: useful kinds first, then all noise, then its kinds.

    The first position of a block is left out: nothing predicts it. Empty where the corpus knows only one kind.
    """
    kinds = {token.kind: token.group for passage in passages for token in passage.tokens[1:]}
    if len(kinds) < 2:
        return []
    shares = [_share(passages, kind, {kind}) for kind, group in kinds.items() if group != "noise"]
    noise = {kind for kind, group in kinds.items() if group == "noise"}
    if noise:
        shares.append(_share(passages, "noise", noise))
    if len(noise) > 1:
        each = [_share(passages, kind, {kind}) for kind in sorted(noise)]
        shares += sorted(each, key=lambda share: -share.num_tokens)
    return shares


def _share(passages: Sequence[Passage], name: str, kinds: set[str]) -> KindShare:
    selected_share, share_of_selected = {}, {}
    share_of_tokens, num_tokens = 0.0, 0
    for step in steps(passages):
        tokens = list(_ranked(at_step(passages, step)))
        own = [token for token in tokens if token.kind in kinds]
        chosen = sum(token.selected for token in own)
        all_chosen = sum(token.selected for token in tokens)
        share_of_tokens, num_tokens = len(own) / max(len(tokens), 1), len(own)
        selected_share[step] = chosen / max(len(own), 1)
        share_of_selected[step] = chosen / max(all_chosen, 1)
    return KindShare(name, share_of_tokens, selected_share, share_of_selected, num_tokens)


def _ranked(passages: Sequence[Passage]) -> Iterator[Token]:
    for passage in passages:
        yield from passage.tokens[1:]
