"""Which tokens keep their loss, and the stage ``score`` that makes the reference's scores (paper section 2.2)."""

from __future__ import annotations

import fractions
from dataclasses import replace
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, JsonValue, Tag, model_validator

from rho1bench.recipe.models.base import (
    CHECKPOINT,
    SUM_ORDER,
    Fraction,
    Model,
    Name,
    Operational,
    PositiveInt,
    PretrainedModel,
    StageBase,
    StageLookup,
    StageRef,
    StageSizes,
    StageSpec,
)
from rho1bench.recipe.models.corpus import CorpusStage
from rho1bench.recipe.models.rule_specs import EARLIER, RuleSpec
from rho1bench.recipe.models.score_names import known_score, rule_spec

BYTES_PER_SCORE = 2
ScoreName = Annotated[str, AfterValidator(known_score)]
ScoreRef = Annotated[Name, StageRef(("score",), None)]


def num_to_keep(num_eligible: int, ratio: float) -> int:
    """Return how many of ``num_eligible`` tokens a ratio in (0, 1] keeps."""
    if num_eligible == 0:
        return 0
    return max(1, int(fractions.Fraction(repr(ratio)) * num_eligible))


class RatioSchedule(Model):
    """The share that is kept, step by step."""

    schedule: Literal["constant", "linear", "full_then"]
    """``constant``: ``ratio``. ``linear``: from ``start`` in the first step to ``end`` in the last. ``full_then``:
    every token for the first ``steps`` steps, then ``ratio``."""
    ratio: Fraction | None = None
    start: Fraction | None = None
    end: Fraction | None = None
    steps: PositiveInt | None = None

    def at(self, step: int, total_steps: int) -> float:
        """Return the share that the optimizer step keeps which comes after ``step`` finished ones."""
        if self.schedule == "linear":
            assert self.start is not None and self.end is not None, "validated below"  # noqa: PT018
            return self.start + (self.end - self.start) * min(step / max(total_steps - 1, 1), 1.0)
        assert self.ratio is not None, "validated below"
        return 1.0 if self.steps is not None and step < self.steps else self.ratio

    @model_validator(mode="after")
    def _fields_of_the_schedule(self) -> Self:
        needed = {"constant": {"ratio"}, "linear": {"start", "end"}, "full_then": {"steps", "ratio"}}[self.schedule]
        given = {name for name in ("ratio", "start", "end", "steps") if getattr(self, name) is not None}
        if given != needed:
            found = " and ".join(sorted(given)) or "none"
            raise ValueError(f"a {self.schedule} schedule has {' and '.join(sorted(needed))}, got {found}")
        return self


def _kind_of_ratio(value: object) -> str:
    return "a schedule" if isinstance(value, dict | RatioSchedule) else "a share"


Ratio = Annotated[
    Annotated[Fraction, Tag("a share")] | Annotated[RatioSchedule, Tag("a schedule")], Discriminator(_kind_of_ratio)
]
"""The share of tokens that is kept: one, or a schedule of them."""


def _kind_of_stores(value: object) -> str:
    return "by name" if isinstance(value, dict) else "one"


Stores = Annotated[
    Annotated[ScoreRef, Tag("one")] | Annotated[dict[Name, ScoreRef], Tag("by name")], Discriminator(_kind_of_stores)
]
"""Score stages by the name under which rules read them; one alone is called ``reference``."""


class ScoreRatio(Model):
    """The best share of tokens by one score."""

    score: ScoreName
    ratio: Ratio
    parameters: dict[str, JsonValue] = {}
    """Parameters of the rule (``rho1bench rules`` lists them); checked against its own types."""

    @property
    def spec(self) -> RuleSpec:
        """What the rule reads and gives."""
        return rule_spec(self.score)


class BlockScope(Model):
    """Ranking among a set of blocks, whatever the number of processes and of blocks in a forward pass."""

    blocks: PositiveInt
    """So many that follow one another in the order of training; an optimizer step is whole sets (in fine-tuning, of
    samples)."""


def _kind_of_scope(value: object) -> str:
    return "a set of blocks" if isinstance(value, dict | BlockScope) else "a name"


Scope = Annotated[
    Annotated[Literal["sequence", "micro_batch", "global", "document"], Tag("a name")]
    | Annotated[BlockScope, Tag("a set of blocks")],
    Discriminator(_kind_of_scope),
]


class Selection(Model):
    """Which tokens keep their loss, or how much of it (paper section 2.2, equations 3 to 5; table 4 for several).

    ``score`` with ``ratio``; a rule that gives weights has no ratio, and ``full`` needs none. Or ``all_of`` (tokens
    that every part keeps: 70% and 70% keep 40% to 70%), or ``any_of`` (tokens that some part keeps).
    """

    score: ScoreName = "excess_loss"
    """The name of the rule."""
    ratio: Ratio | None = None
    all_of: Annotated[list[ScoreRatio] | None, Field(min_length=2)] = None
    any_of: Annotated[list[ScoreRatio] | None, Field(min_length=2)] = None
    scope: Scope = "global"
    """Among which tokens ranking is done: those of a block (``sequence``), of a set of blocks (``{blocks: 256}``), of
    the whole optimizer step (``global``); of the part of each document that lies in a block (``document``), which keeps
    at least one token of each; or of a forward pass on all processes (``micro_batch``), so that another number of
    processes is another experiment."""
    token_scores: Stores | None = None
    """The stages with the stored scores that the rules read: one, called ``reference``, or a mapping of names."""
    moving_average: Annotated[float | None, Field(gt=0.0, lt=1.0)] = None
    """Decay of a moving average of the weights, kept for rules that read ``earlier.losses``: one more copy of the
    weights, one more forward pass. It begins with the weights that training starts from."""
    parameters: dict[str, JsonValue] = {}
    """Parameters of the rule (``rho1bench rules`` lists them); checked against its own types."""

    @property
    def parts(self) -> list[ScoreRatio]:
        """The scores with their ratios: one, or those of a combination."""
        combined = self.all_of or self.any_of
        if combined is not None:
            return combined
        return [ScoreRatio(score=self.score, ratio=self.ratio or 1.0, parameters=self.parameters)]

    @property
    def stores(self) -> dict[str, str]:
        """The score stages by the name under which rules read them."""
        if isinstance(self.token_scores, str):
            return {"reference": self.token_scores}
        return dict(self.token_scores or {})

    @property
    def gives_weights(self) -> bool:
        """True where nothing is ranked: the rule weighs every token."""
        return self.all_of is None and self.any_of is None and rule_spec(self.score).gives == "weights"

    @property
    def fixed_ratio(self) -> float | None:
        """The share that every step keeps; None where it changes, follows from several scores, or nothing is ranked."""
        if self.score == "full":
            return 1.0
        return self.ratio if isinstance(self.ratio, float) else None

    @property
    def keeps_average(self) -> bool:
        """True where training keeps the moving average: it is asked for, and a rule reads it."""
        return self.moving_average is not None and any(EARLIER in part.spec.stores for part in self.parts)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [name for name in ("ratio", "all_of", "any_of") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"expected one of ratio, all_of and any_of, got {' and '.join(given)}")
        if given in (["all_of"], ["any_of"]):
            self._check_parts(given[0])
        elif self.gives_weights and given:
            raise ValueError(f"the rule {self.score!r} gives weights, so that nothing is ranked; leave ratio out")
        elif not given and not self.gives_weights and self.score != "full":
            raise ValueError("missing ratio; expected a ratio, or a list of {score, ratio} as all_of or any_of")
        if self.moving_average is not None and EARLIER in self.stores:
            raise ValueError(f"both moving_average and token_scores give {EARLIER!r}; leave one out")
        return self

    def _check_parts(self, key: str) -> None:
        if self.score != "excess_loss" or self.parameters:
            raise ValueError(f"{key} names its scores itself; leave score out, and parameters to its parts")
        weighing = [part.score for part in self.parts if part.spec.gives == "weights"]
        if weighing:
            raise ValueError(f"{key} joins rankings, and the rule {weighing[0]!r} gives weights")


class ScoreServer(Model):
    """A server of OpenAI's completions protocol that gives the log-probabilities of a prompt (vLLM does)."""

    base_url: Annotated[str, Field(pattern=r"^https?://")]
    """Ends with ``/v1``."""
    model: Annotated[str, Field(min_length=1)]
    """The server's name for the model."""


class ScoreStage(StageBase):
    """Scores a packed corpus once with the reference model: loss and entropy of every token (losses from a server)."""

    spec: ClassVar[StageSpec] = StageSpec(
        "rho1bench.selection.stage:run",
        ("torch", "transformers", "accelerate", "tokenizers", "numpy"),
        takes_files=True,
    )
    kind: Literal["score"]
    reference: Annotated[Name, StageRef(("pretrain", "sft"), CHECKPOINT)] | PretrainedModel | None = None
    """A model that a stage has trained, or one from elsewhere; None where a server scores."""
    server: ScoreServer | None = None
    corpus: Annotated[Name, StageRef(("corpus",), None)]
    batch_size: Annotated[PositiveInt, Operational(SUM_ORDER)] = 64
    """Blocks in one forward pass."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of weights and matrix products; losses and entropies are summed in float32 in any case."""
    entropies: bool = True
    """Keep entropies beside the losses; without them the store has half the size, and no rule may read them. (A server
    tells none.)"""

    @property
    def in_ranks(self) -> bool:
        """Whether a model here scores: each process takes whole shards. A server is asked by one process."""
        return self.server is None

    def sizes(self, recipe: StageLookup) -> StageSizes:
        """Return those of the corpus; on disk, loss and entropy of each token, float16 each."""
        scored = recipe.stage(self.corpus, CorpusStage).sizes(recipe)
        numbers = 2 if self.entropies and self.server is None else 1
        return replace(scored, bytes=None if scored.tokens is None else BYTES_PER_SCORE * numbers * scored.tokens)
