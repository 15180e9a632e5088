"""``rho1bench inspect tokens``: any text, token by token, as a model, a reference and a selection rule see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rho1bench.analysis.agreement import ranks
from rho1bench.analysis.text import shown_texts
from rho1bench.corpus.tokenizer import load_raw_tokenizer, special_tokens
from rho1bench.errors import CheckpointError, DataError
from rho1bench.modeling.causal_lm import context_length, load_model, vocabulary_size
from rho1bench.recipe.models.rule_specs import ENTROPIES, LOSS_RANKS, LOSSES, stored_part
from rho1bench.recipe.models.score_names import known_score
from rho1bench.selection.dataset_scores import score_rows
from rho1bench.selection.rule import ScoreInputs
from rho1bench.selection.score_functions import ScoreFunction, score_function
from rho1bench.selection.top_k import top_k
from rho1bench.system.hub import find_model

Floats = npt.NDArray[np.float32]
_WINDOW = 2048
"""Tokens that a model without a bound reads at a time."""


@dataclass(frozen=True)
class InspectedToken:
    """One token of a text; numbers are None for the first, which nothing predicts."""

    text: str
    loss: float | None = None
    entropy: float | None = None
    reference_loss: float | None = None
    reference_entropy: float | None = None
    score: float | None = None
    """What the rule gives: a score, or a weight."""
    is_kept: bool = False


def inspect_text(
    text: str, model: str, reference: str | None, rule: str, ratio: float, seed: int = 0
) -> list[InspectedToken]:
    """Return the tokens of ``text`` (as ``model``'s tokenizer reads it), ranked together by ``rule``.

    ``model`` and ``reference`` are folders or hub ids. Raises DataError for a text of fewer than two tokens, an unknown
    rule, or one that reads what is not there; CheckpointError for models that cannot be read or differ in vocabulary.
    """
    function = _rule(rule, reference is not None)
    folder, _ = find_model(model)
    ids = _tokens(text, folder)
    scores = {"": _scores(folder, ids)}
    if reference is not None:
        other, _ = find_model(reference)
        if load_raw_tokenizer(other).get_vocab() != load_raw_tokenizer(folder).get_vocab():
            raise CheckpointError(
                f"{reference}: has another vocabulary than {model}, so their losses are not comparable."
            )
        scores["reference"] = _scores(other, ids)
    given = {name: _input(name, scores, ids) for name in function.inputs}
    values_S = function.compute(ScoreInputs(given, seed, settings=function.parameters())).float()[0]
    if function.gives == "weights":
        kept_S = values_S > 0
    else:
        eligible = torch.ones_like(values_S, dtype=torch.bool)
        kept_S = top_k(values_S[None], eligible[None], 1.0 if rule == "full" else ratio, "global")[0]
    return _rows(shown_texts(load_raw_tokenizer(folder), ids), scores, values_S.tolist(), kept_S.tolist())


def _rule(name: str, has_reference: bool) -> ScoreFunction:
    try:
        function = score_function(known_score(name))
    except ValueError as error:
        raise DataError(f"--rule: {error}. `rho1bench rules` lists them.") from error
    stores = function.spec.stores
    if "reference" in stores and not has_reference:
        raise DataError(f"--rule {name}: reads a reference's losses; give one with --reference.")
    if others := [store for store in stores if store != "reference"]:
        raise DataError(
            f"--rule {name}: reads {', '.join(others)}, which a text alone does not have. Take another rule."
        )
    return function


def _tokens(text: str, folder: Path) -> list[int]:
    if not (folder / "tokenizer.json").is_file():
        raise CheckpointError(f"{folder}: has no tokenizer.json. Put the model's tokenizer beside its weights.")
    begin = special_tokens(folder).begin
    ids = [*begin, *load_raw_tokenizer(folder).encode(text, add_special_tokens=False).ids]
    if len(ids) < 2:
        raise DataError("the text has fewer than two tokens, so nothing is predicted. Give a longer one.")
    return ids


def _scores(folder: Path, ids: Sequence[int]) -> Floats:
    """Return loss and entropy of tokens 1 to the last, (S, 2); what is too long is read in parts that share a token."""
    model = load_model(folder).eval()
    if max(ids) >= vocabulary_size(model):
        raise CheckpointError(
            f"{folder}: the text has the token id {max(ids)}, but the model knows {vocabulary_size(model)} tokens: its "
            "tokenizer.json has tokens that it was not trained with. Take the model's own tokenizer, or another text."
        )
    length = context_length(model) or _WINDOW
    rows = [list(ids[start : start + length]) for start in range(0, len(ids) - 1, length - 1)]
    found = np.concatenate(score_rows(model, rows, 8))
    if not np.isfinite(found).all():
        raise CheckpointError(f"{folder}: gives a loss or an entropy that is not finite for this text.")
    return found


def _input(name: str, scores: Mapping[str, Floats], ids: Sequence[int]) -> Tensor:
    """Return what a rule reads, (1, S)."""
    store, kind = stored_part(name) or ("", name)
    if kind in (LOSSES, ENTROPIES, LOSS_RANKS):
        values_S = scores[store][:, 1 if kind == ENTROPIES else 0]
        return torch.from_numpy(ranks(values_S).astype(np.float32) if kind == LOSS_RANKS else values_S.copy())[None]
    places = torch.arange(1, len(ids))[None]
    found: dict[str, Tensor] = {
        "target_ids": torch.tensor(ids[1:])[None],
        "eligible": torch.ones_like(places, dtype=torch.bool),
        "document_ids": torch.zeros_like(places),
    }
    return found.get(name, places)


def _rows(
    texts: Sequence[str], scores: Mapping[str, Floats], values: Sequence[float], kept: Sequence[bool]
) -> list[InspectedToken]:
    rows = [InspectedToken(texts[0])]
    reference = scores.get("reference")
    for place, text in enumerate(texts[1:]):
        token = InspectedToken(
            text,
            loss=float(scores[""][place, 0]),
            entropy=float(scores[""][place, 1]),
            reference_loss=None if reference is None else float(reference[place, 0]),
            reference_entropy=None if reference is None else float(reference[place, 1]),
            score=values[place],
            is_kept=bool(kept[place]),
        )
        rows.append(token)
    return rows
