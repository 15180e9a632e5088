"""What a selection keeps of the text at each checkpoint, and how its choices lie: figures 6, 8, 13, 14 and more.

All tokens of the text are ranked together where training ranks those of an optimizer step (scope ``global``) or of a
forward pass. Shapes: C checkpoints, B blocks, S positions, N tokens that have a target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from rho1bench.analysis.agreement import rank_correlation, ranks, share_in_common
from rho1bench.analysis.checkpoint_scores import LOSS
from rho1bench.analysis.checkpoints import Checkpoint, Curve, ScoreCache
from rho1bench.analysis.dynamics import chosen_perplexities
from rho1bench.analysis.keep_rates import Groups, KeepRate, Mask, frequency_groups, keep_rates, position_groups
from rho1bench.analysis.results import (
    Agreement,
    Choices,
    ChosenPerplexity,
    GroupRate,
    Histogram,
    KeptAt,
    Moment,
    Passage,
    SplitLosses,
)
from rho1bench.analysis.rule_inputs import RuleInputs, current
from rho1bench.analysis.text import AnalysedText, Floats
from rho1bench.analysis.token_kinds import KINDS
from rho1bench.comparison.training_curves import SELECT_RATIO, read_curves
from rho1bench.mini_world import MATH_KIND, NOISE_KINDS, WRONG_NUMBER_KIND
from rho1bench.pipeline.stage import StageContext, derive_seed
from rho1bench.recipe import AnalysisStage, Selection
from rho1bench.selection.rule import ScoreInputs
from rho1bench.selection.score_functions import score_function
from rho1bench.selection.selector import Selector
from rho1bench.selection.top_k import top_k

RULES = (
    "excess_loss",
    "reference_loss",
    "reference_entropy",
    "base_excess_loss",
    "training_loss",
    "model_entropy",
    "self_gain",
    "random",
)
"""Those that are compared where nothing else is said and their inputs are known."""
MOMENTS = (0.0, 1 / 3, 2 / 3, 1.0)
NUM_LEVELS = 5
PAPERS_RATIO = 0.6
_EDGES = np.linspace(-8.0, 8.0, 33)
REFERENCE_LOSSES = "reference.losses"


@dataclass(frozen=True)
class Chosen:
    """What the checkpoints of a curve choose."""

    curve: Curve
    kept_CN: npt.NDArray[np.bool_]
    levels_CN: npt.NDArray[np.int64]
    """Fifths of the ranking, 0 lowest; with several rules, of the mean of their ranks."""


class ChoiceAnalysis:
    """The selection of one stage (or its ``monitor``) on a text."""

    def __init__(self, context: StageContext, text: AnalysedText, cache: ScoreCache, curve: Curve) -> None:
        selection = curve.stage.selection or curve.stage.monitor
        assert selection is not None, "the stage selects or watches"
        self._context, self._text, self._cache, self._curve = context, text, cache, curve
        self._selection: Selection = selection
        seed = derive_seed(context.recipe.seed_of(curve.stage), "selection")
        self._selector = Selector(selection, seed, curve.stage.max_steps)
        start = curve.checkpoints[0]
        self._inputs = RuleInputs(
            context, text, cache, selection.stores, start.folder if start.place.step == 0 else None
        )

    def obstacle(self) -> str | None:
        """Return why there is nothing to analyse; None where there is."""
        name = self._curve.stage.name
        if self._selector.gives_weights:
            return f"{name} weighs its tokens and ranks none, so no token is left out."
        if self._selector.is_always_full:
            return f"{name} keeps every token."
        if self._selection.keeps_average:
            return f"{name} ranks by a moving average of its weights, which no checkpoint holds."
        if missing := self._inputs.missing(self._selector.needs):
            return (
                f"{name} ranks by {', '.join(missing)}, which nothing here can give for this text: its scores came "
                "from a server. Take the corpus that was scored (`corpus`)."
            )
        return None

    def choose(self) -> Chosen:
        """Rank the text at every checkpoint; only without an ``obstacle``."""
        fixed = self._inputs.fixed(self._selector.needs)
        found = [self._choose_at(checkpoint, fixed) for checkpoint in self._curve.checkpoints]
        return Chosen(self._curve, np.stack([kept for kept, _ in found]), np.stack([level for _, level in found]))

    def _choose_at(self, checkpoint: Checkpoint, fixed: dict[str, Tensor]) -> tuple[Mask, npt.NDArray[np.int64]]:
        eligible_BS = self._text.eligible_BS
        self._selector.step = min(checkpoint.place.step, self._selector.total_steps - 1)
        if self._selector.is_full:
            every = np.ones(int(eligible_BS.sum()), dtype=np.bool_)
            return every, np.full(len(every), NUM_LEVELS // 2, dtype=np.int64)
        inputs = fixed | current(self._cache.scores(checkpoint.folder))
        scores = self._selector.scores(inputs)
        kept_N = self._selector.select(scores, inputs).numpy()[eligible_BS]
        parts = scores.unbind(dim=-1) if scores.dim() == 3 else (scores,)
        rank_N = np.mean([ranks(part.numpy()[eligible_BS]) for part in parts], axis=0)
        return kept_N, np.minimum((rank_N * NUM_LEVELS).astype(np.int64), NUM_LEVELS - 1)

    def describe(self, chosen: Chosen, losses_CN: Floats) -> Choices:
        """Return everything about the choices as numbers."""
        curve, kept_N = self._curve, chosen.kept_CN[-1]
        ratios = read_curves(self._context.input(curve.stage.name), (SELECT_RATIO,)).get(SELECT_RATIO, [])
        moments = self._moments()
        return Choices(
            stage=curve.stage.name,
            rule=" and ".join(dict.fromkeys(part.score for part in self._selection.parts)),
            ratio=self._last_ratio(),
            num_tokens=len(kept_N),
            num_kept=int(kept_N.sum()),
            by_position=_rates(*position_groups(self._text.positions_N, self._text.corpus.block_size), kept_N),
            by_frequency=_rates(*frequency_groups(self._text.targets_N), kept_N),
            by_kind=_rates(self._text.kinds_N, KINDS, kept_N),
            planted=self._planted(kept_N),
            over_training=[self._kept_at(place, chosen.kept_CN[place]) for place in range(len(curve.checkpoints))],
            kept_in_training=ratios if curve.stage.selection is not None else [],
            moments=[self._moment(place, chosen.levels_CN[place]) for place in moments],
            selected=self._passages(len(curve.checkpoints) - 1, kept_N),
            agreement=self._agreement(),
            histogram=self._histogram(losses_CN, moments),
            perplexity=ChosenPerplexity(
                stage=curve.stage.name,
                places=curve.places,
                perplexities=chosen_perplexities(losses_CN, chosen.kept_CN),
            ),
        )

    def _last_ratio(self) -> float | None:
        if len(self._selection.parts) > 1:
            return None
        ratio = self._selection.ratio
        last = self._curve.stage.max_steps - 1
        return ratio if ratio is None or isinstance(ratio, float) else ratio.at(last, self._curve.stage.max_steps)

    def _kept_at(self, place: int, kept_N: Mask) -> KeptAt:
        by_kind = {rate.name: rate.rate for rate in keep_rates(self._text.kinds_N, KINDS, kept_N)}
        return KeptAt(place=self._curve.places[place], share=float(kept_N.mean()), by_kind=by_kind)

    def _planted(self, kept_N: Mask) -> list[GroupRate]:
        """Return the rates of spans that the mini world plants, beside its mathematics; none of another corpus."""
        names = list(self._text.corpus.meta["kinds"])
        planted = {*NOISE_KINDS, WRONG_NUMBER_KIND}
        if not planted & set(names):
            return []
        rates = keep_rates(self._text.corpus_kinds_N, names, kept_N)
        shown = [rate for rate in rates if rate.name in planted or rate.name == MATH_KIND]
        return [_group_rate(rate) for rate in sorted(shown, key=lambda rate: -rate.rate)]

    def _moments(self) -> list[int]:
        """Return the checkpoints that are nearest to the shares of training in :data:`MOMENTS`."""
        done = np.array(self._curve.tokens) / self._curve.tokens[-1]
        return sorted({int(np.abs(done - share).argmin()) for share in MOMENTS})

    def _moment(self, place: int, levels_N: Groups) -> Moment:
        at = self._curve.places[place]
        share = at.tokens / self._curve.places[-1].tokens
        return Moment(place=at, share=share, passages=self._passages(place, levels_N)[:1])

    def _passages(self, place: int, marks_N: npt.NDArray[np.generic]) -> list[Passage]:
        return self._text.passages(marks_N, self._cache.scores(self._curve.checkpoints[place].folder)[:, :, LOSS])

    def _histogram(self, losses_CN: Floats, moments: Sequence[int]) -> Histogram | None:
        if self._inputs.missing([REFERENCE_LOSSES]):
            return None
        reference_N = self._inputs.fixed([REFERENCE_LOSSES])[REFERENCE_LOSSES].numpy()[self._text.eligible_BS]
        shown = [moments[0], moments[-1]]
        excess = [np.clip(losses_CN[place] - reference_N, _EDGES[0], _EDGES[-1]) for place in shown]
        return Histogram(
            edges=_EDGES.tolist(),
            places=[self._curve.places[place] for place in shown],
            counts=[np.histogram(values_N, _EDGES)[0].tolist() for values_N in excess],
        )

    def _agreement(self) -> Agreement | None:
        asked = self._context.config(AnalysisStage).rules
        ratio = self._last_ratio() or PAPERS_RATIO
        scores: dict[str, Floats] = {}
        for name in asked or RULES:
            function = score_function(name)
            if function.gives == "scores" and name != "full" and not self._inputs.missing(function.inputs):
                scores[name] = self._scores_of(name)
        if len(scores) < 2:
            return None
        kept = {name: self._top(values_BS, ratio) for name, values_BS in scores.items()}
        flat = {name: values_BS[self._text.eligible_BS] for name, values_BS in scores.items()}
        return Agreement(
            rules=list(scores),
            ratio=ratio,
            in_common=[[share_in_common(kept[left], kept[right]) for right in scores] for left in scores],
            correlation=[[rank_correlation(flat[left], flat[right]) for right in scores] for left in scores],
        )

    def _scores_of(self, name: str) -> Floats:
        """Return a rule's scores at the last checkpoint, (B, S); with the stage's parameters where it has them."""
        function = score_function(name)
        inputs = self._inputs.fixed(function.inputs) | current(self._cache.scores(self._curve.checkpoints[-1].folder))
        given = next((part.parameters for part in self._selection.parts if part.score == name), {})
        read = {one: inputs[one] for one in function.inputs}
        total = self._selector.total_steps
        settings = function.parameters.model_validate(given)
        given_inputs = ScoreInputs(read, self._selector.seed, total - 1, total, settings)
        found: Floats = function.compute(given_inputs).float().numpy()
        return found

    def _top(self, values_BS: Floats, ratio: float) -> Mask:
        import torch

        kept_BS = top_k(torch.from_numpy(values_BS), torch.from_numpy(self._text.eligible_BS), ratio, "global")
        found: Mask = kept_BS.numpy()[self._text.eligible_BS]
        return found


def _rates(groups_N: Groups, names: Sequence[str], kept_N: Mask) -> list[GroupRate]:
    return [_group_rate(rate) for rate in keep_rates(groups_N, names, kept_N)]


def _group_rate(rate: KeepRate) -> GroupRate:
    return GroupRate(name=rate.name, num_tokens=rate.num_tokens, num_kept=rate.num_kept)


def split_losses(context: StageContext, curve: Curve, losses_CN: Floats, kept_N: Mask) -> SplitLosses:
    """Return the mean losses of the tokens of ``kept_N`` and of the rest at a curve's checkpoints (figure 6)."""

    def means(own_N: Mask) -> list[float | None]:
        return [float(row_N[own_N].mean(dtype=np.float64)) if own_N.any() else None for row_N in losses_CN]

    held_out = read_curves(context.input(curve.stage.name), ("validation_loss",)).get("validation_loss", [])
    return SplitLosses(
        stage=curve.stage.name,
        places=curve.places,
        selected=means(kept_N),
        unselected=means(~kept_N),
        downstream=held_out,
    )
