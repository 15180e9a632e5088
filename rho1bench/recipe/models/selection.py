"""Which tokens keep their loss, and the stage ``score`` that makes the reference's scores (paper section 2.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from rho1bench.recipe.models.base import (
    CHECKPOINT,
    Fraction,
    Model,
    Name,
    PositiveInt,
    PretrainedModel,
    StageBase,
    StageLookup,
    StageRef,
    StageSizes,
    StageSpec,
)
from rho1bench.recipe.models.corpus import CorpusStage
from rho1bench.recipe.models.score_names import known_score

BYTES_PER_SCORE = 4
ScoreName = Annotated[str, AfterValidator(known_score)]


class ScoreRatio(Model):
    """The best share of tokens by one score."""

    score: ScoreName
    ratio: Fraction


class Selection(Model):
    """Which tokens keep their loss (paper section 2.2, equations 3 to 5; table 4 for several scores).

    Either ``score`` and ``ratio``, or ``all_of`` (tokens that every part keeps: 70% and 70% keep 40% to 70%), or
    ``any_of`` (tokens that some part keeps).
    """

    score: ScoreName = "excess_loss"
    ratio: Fraction | None = None
    all_of: Annotated[list[ScoreRatio] | None, Field(min_length=2)] = None
    any_of: Annotated[list[ScoreRatio] | None, Field(min_length=2)] = None
    scope: Literal["sequence", "micro_batch", "global"] = "global"
    token_scores: Annotated[Name | None, StageRef(("score",), None)] = None
    """The stage with the stored reference scores; needed by every score that reads the reference."""

    @property
    def parts(self) -> list[ScoreRatio]:
        """The scores with their ratios: one, or those of a combination."""
        combined = self.all_of or self.any_of
        if combined is not None:
            return combined
        assert self.ratio is not None, "validated below"
        return [ScoreRatio(score=self.score, ratio=self.ratio)]

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [name for name in ("ratio", "all_of", "any_of") if getattr(self, name) is not None]
        if not given:
            raise ValueError("missing ratio; expected a ratio, or a list of {score, ratio} as all_of or any_of")
        if len(given) > 1:
            raise ValueError(f"expected one of ratio, all_of and any_of, got {' and '.join(given)}")
        if given != ["ratio"] and self.score != "excess_loss":
            raise ValueError(f"{given[0]} names its scores itself; leave score out")
        return self


class ScoreServer(Model):
    """A server of OpenAI's completions protocol that gives the log-probabilities of a prompt (vLLM does)."""

    base_url: Annotated[str, Field(pattern=r"^https?://")]
    """Ends with ``/v1``."""
    model: Annotated[str, Field(min_length=1)]
    """The server's name for the model."""


class ScoreStage(StageBase):
    """Scores a packed corpus once with the reference model: loss and entropy of every token (losses from a server)."""

    spec: ClassVar[StageSpec] = StageSpec(
        "rho1bench.selection.stage:run", ("torch", "transformers", "accelerate", "tokenizers", "numpy")
    )
    kind: Literal["score"]
    reference: Annotated[Name, StageRef(("pretrain", "sft"), CHECKPOINT)] | PretrainedModel | None = None
    """A model that a stage has trained, or one from elsewhere; None where a server scores."""
    server: ScoreServer | None = None
    corpus: Annotated[Name, StageRef(("corpus",), None)]
    batch_size: PositiveInt = 64
    """Blocks in one forward pass."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of weights and matrix products; losses and entropies are summed in float32 in any case."""

    def sizes(self, recipe: StageLookup) -> StageSizes:
        """Return those of the corpus; on disk, four bytes a token: loss and entropy, float16 each."""
        scored = recipe.stage(self.corpus, CorpusStage).sizes(recipe)
        return replace(scored, bytes=None if scored.tokens is None else BYTES_PER_SCORE * scored.tokens)
