"""A recipe's ``selection:`` made runnable: score the tokens, choose among them, in the scope that was asked for.

What is known of tokens travels by the names of inputs (``recipe.models.rule_specs``): those that training holds from
the start (``reference.losses``, ``document_ids``), and those that a forward pass adds (``losses``, ``entropies``).
Shapes: B blocks of this process, A those of all, S = T - 1 predicted positions of a block. With several processes,
``micro_batch``, ``global`` and sets of blocks rank over the tokens of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from rho1bench.errors import TrainingError
from rho1bench.modeling.distributed import all_rows, in_group, own_rows
from rho1bench.recipe import Selection
from rho1bench.recipe.models.rule_specs import ENTROPIES, MODEL_INPUTS, Parameters
from rho1bench.recipe.models.selection import BlockScope, RatioSchedule, num_to_keep
from rho1bench.selection.score_functions import ScoreFunction, ScoreInputs, score_function
from rho1bench.selection.score_store import TokenScores
from rho1bench.selection.top_k import Scope, num_selected, top_k

TokenInputs = Mapping[str, Tensor]
"""Inputs by name, shape (B, S) each; ``eligible`` (bool: the positions that have a target) is always among them."""


@dataclass(frozen=True)
class _Part:
    """One rule of a selection."""

    function: ScoreFunction
    ratio: float | RatioSchedule
    parameters: Parameters

    @property
    def weighs(self) -> bool:
        return self.function.gives == "weights"

    def ratio_at(self, step: int, total_steps: int) -> float:
        return self.ratio.at(step, total_steps) if isinstance(self.ratio, RatioSchedule) else self.ratio

    def keeps_all(self, step: int, total_steps: int) -> bool:
        return self.function.name == "full" or (not self.weighs and self.ratio_at(step, total_steps) == 1.0)


class Selector:
    """Scores and chooses tokens. None, ``full`` and ratio 1.0 all mean: every eligible token, no ranking.

    With ``all_of`` or ``any_of`` each part ranks for itself, in the same scope; a part that keeps all is left out.
    ``step`` is the number of finished optimizer steps, which the trainer keeps up to date: ratios may follow it.
    """

    def __init__(self, selection: Selection | None, seed: int, total_steps: int = 1) -> None:
        self.selection = selection
        self.seed = seed
        self.step, self.total_steps = 0, total_steps
        scope = selection.scope if selection is not None else "global"
        self._set_blocks = scope.blocks if isinstance(scope, BlockScope) else None
        """Blocks of a set in which ranking is done."""
        self.scope: Scope | Literal["blocks"] = "blocks" if isinstance(scope, BlockScope) else scope
        self._scope: Scope = "sequence" if isinstance(scope, BlockScope) else scope
        """Of the rows that :meth:`_sets` gives."""
        self._is_union = selection is not None and selection.any_of is not None
        self._all_parts = [
            _Part(function, part.ratio, function.parameters.model_validate(part.parameters))
            for part in (selection.parts if selection is not None else [])
            for function in [score_function(part.score)]
        ]
        self.gives_weights = any(part.weighs for part in self._all_parts)
        moments = range(total_steps) if any(isinstance(part.ratio, RatioSchedule) for part in self._all_parts) else [0]
        self.is_always_full = all(self._keeps_all(self._parts_at(step)) for step in moments)
        read = [name for part in self._all_parts for name in part.function.inputs]
        read += ["document_ids"] if self._scope == "document" else []
        self.needs = frozenset() if self.is_always_full else frozenset(read)
        """Names of the inputs that it reads in some step."""

    @property
    def _parts(self) -> list[_Part]:
        return self._parts_at(self.step)

    def _parts_at(self, step: int) -> list[_Part]:
        return [part for part in self._all_parts if not part.keeps_all(step, self.total_steps)]

    def _keeps_all(self, parts: Sequence[_Part]) -> bool:
        return not parts or (self._is_union and len(parts) < len(self._all_parts))

    @property
    def is_full(self) -> bool:
        """True where this step keeps every eligible token, each once."""
        return self._keeps_all(self._parts)

    @property
    def is_count_known(self) -> bool:
        """False: what the loss is divided by depends on the scores, as for intersections, unions and weights."""
        return self.is_full or (len(self._parts) == 1 and not self.gives_weights)

    @property
    def needs_losses(self) -> bool:
        """True where this step's rules read what a forward pass of the model being trained tells."""
        return bool(MODEL_INPUTS & self._needs_now)

    @property
    def needs_entropies(self) -> bool:
        """True where this step's rules read the current entropies of the model being trained."""
        return ENTROPIES in self._needs_now

    @property
    def _needs_now(self) -> frozenset[str]:
        return frozenset() if self.is_full else frozenset(n for part in self._parts for n in part.function.inputs)

    @property
    def spans_passes(self) -> bool:
        """True where ranking knows no bounds of forward passes: sets of blocks, and the whole optimizer step."""
        return self._set_blocks is not None or self._scope == "global"

    def fits_a_pass(self, num_blocks: int) -> bool:
        """Tell whether a forward pass over ``num_blocks`` on all processes holds all that its tokens rank among."""
        if self._set_blocks is not None:
            return num_blocks % self._set_blocks == 0
        return self._scope != "global"

    def check_stores(self, stores: Mapping[str, TokenScores]) -> None:
        """Raise ScoreStoreError if a rule reads entropies of a store that has none."""
        for part in self._all_parts:
            for name in part.function.inputs:
                store, _, kind = name.rpartition(".")
                if store in stores and kind == ENTROPIES and not self.is_always_full:
                    stores[store].check_entropies(part.function.name)

    def scores(self, inputs: TokenInputs) -> Tensor:
        """Return scores or weights, float32, shape (B, S); (B, S, P) for P parts.

        Raises TrainingError for weights that are negative or not finite.
        """
        found = [self._compute(part, inputs) for part in self._parts]
        return found[0] if len(found) == 1 else torch.stack(found, dim=-1)

    def _compute(self, part: _Part, inputs: TokenInputs) -> Tensor:
        read = {name: inputs[name] for name in part.function.inputs}
        given = ScoreInputs(read, self.seed, self.step, self.total_steps, part.parameters)
        with torch.no_grad():
            found_BS = part.function.compute(given).detach().float()
        if part.weighs:
            found_BS = found_BS.masked_fill(~inputs["eligible"], 0.0)
            if not bool(((found_BS >= 0) & (found_BS < float("inf"))).all()):
                raise TrainingError(
                    f"step {self.step + 1}: the rule {part.function.name!r} gives weights that are negative or not "
                    "finite; expected numbers of at least 0. Check its parameters."
                )
        return found_BS

    def select(self, scores: Tensor, inputs: TokenInputs) -> Tensor:
        """Return the mask of kept tokens of this process's rows, ranked over every process's rows.

        ``scores`` as :meth:`scores` gives them. Equal ones are kept in the order of the stream of training, however it
        is dealt out to processes. Of weights, those above zero are kept.
        """
        eligible_BS, documents_BS = inputs["eligible"], inputs.get("document_ids")
        if self.is_full:
            return eligible_BS
        if self.gives_weights:
            return scores > 0
        if self._set_blocks is None and self._scope in ("sequence", "document"):
            return self._select(scores, eligible_BS, documents_BS)
        every, eligible_AS = all_rows(scores), all_rows(eligible_BS)
        order_A = torch.arange(len(every), device=every.device)
        if (len(every) > len(scores) or self._set_blocks is not None) and "token_positions" in inputs:
            order_A = all_rows(inputs["token_positions"][:, 0]).argsort()
        selected_AS = torch.empty_like(eligible_AS)
        selected_AS[order_A] = self._select(every[order_A], eligible_AS[order_A], None)
        return selected_AS[own_rows(len(scores))]

    def _select(self, scores: Tensor, eligible_BS: Tensor, documents_BS: Tensor | None) -> Tensor:
        parts = scores.unbind(dim=-1) if len(self._parts) > 1 else (scores,)
        eligible_RL = self._sets(eligible_BS)
        masks = [
            top_k(
                self._sets(scores_BS),
                eligible_RL,
                part.ratio_at(self.step, self.total_steps),
                self._scope,
                documents_BS,
            )
            for scores_BS, part in zip(parts, self._parts, strict=True)
        ]
        together = torch.stack(masks)
        selected_RL = together.any(dim=0) if self._is_union else together.all(dim=0)
        return selected_RL.view(-1, eligible_BS.shape[1])[: len(eligible_BS)]

    def _sets(self, values_BS: Tensor) -> Tensor:
        """Return one row for each set of blocks, (R, L), the last one filled up with zeros; without sets, as given."""
        if self._set_blocks is None:
            return values_BS
        filling = torch.nn.functional.pad(values_BS, (0, 0, 0, -len(values_BS) % self._set_blocks))
        return filling.reshape(-1, self._set_blocks * values_BS.shape[1])

    def threshold(self, scores: Tensor, selected_BS: Tensor) -> Tensor | None:
        """Return the lowest score that was kept, a scalar; None without ranking and for several scores."""
        if self.is_full or self.gives_weights or len(self._parts) > 1:
            return None
        return scores.detach().masked_fill(~selected_BS, float("inf")).min()

    def most_selected(self, eligible_BS: Tensor) -> int | None:
        """Return how many of this process's tokens are kept at most, from the shape alone; None where that says little.

        A bound without a wait for the device; it is met where every token is eligible.
        """
        most = eligible_BS.numel()
        if self.is_full or self.gives_weights:
            return most
        if self.scope == "document" or (self.scope != "sequence" and in_group()):
            return None
        num_blocks, length = eligible_BS.shape
        blocks = 1 if self.scope == "sequence" else self._set_blocks or max(num_blocks, 1)
        sets = -(-num_blocks // blocks)
        ratios = [part.ratio_at(self.step, self.total_steps) for part in self._parts]
        counts = [sets * num_to_keep(blocks * length, ratio) for ratio in ratios]
        return min(sum(counts) if self._is_union else min(counts), most)

    def num_selected(self, micro_batches: Sequence[TokenInputs]) -> Tensor:
        """Return how many tokens an optimizer step keeps over all processes, a scalar, given its micro-batches.

        Only where ``is_count_known``.
        """
        assert self.is_count_known, "count the chosen tokens instead"
        ratio = 1.0 if self.is_full else self._parts[0].ratio_at(self.step, self.total_steps)
        masks = [all_rows(inputs["eligible"]) for inputs in micro_batches]
        if self.is_full or self._scope == "global":
            return num_selected(torch.cat(masks), ratio, "global")
        if self._set_blocks is not None:
            order_A = torch.cat([all_rows(inputs["token_positions"][:, 0]) for inputs in micro_batches]).argsort()
            return num_selected(self._sets(torch.cat(masks)[order_A]), ratio, "sequence")
        documents: list[Tensor | None] = [None] * len(masks)
        if self._scope == "document":
            documents = [all_rows(inputs["document_ids"]) for inputs in micro_batches]
        pairs = zip(masks, documents, strict=True)
        return torch.stack([num_selected(mask, ratio, self._scope, ids) for mask, ids in pairs]).sum()
