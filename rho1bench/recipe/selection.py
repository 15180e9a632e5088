"""Which tokens keep their loss, and the stage ``score`` that makes the reference's scores (paper section 2.2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rho1bench.recipe.base import Fraction, Model, Name, PositiveInt, PretrainedModel, StageBase, StageRef


class Selection(Model):
    """Which tokens keep their loss (paper section 2.2, equations 3 to 5)."""

    score: Literal["excess_loss", "reference_loss", "reference_entropy", "training_loss", "random", "full"] = (
        "excess_loss"
    )
    ratio: Fraction
    scope: Literal["sequence", "micro_batch", "global"] = "global"
    token_scores: Annotated[Name | None, StageRef(("score",))] = None
    """The stage with the stored reference scores; needed by every score that reads the reference."""


class ScoreServer(Model):
    """A server of OpenAI's completions protocol that gives the log-probabilities of a prompt (vLLM does)."""

    base_url: Annotated[str, Field(pattern=r"^https?://")]
    """Ends with ``/v1``."""
    model: Annotated[str, Field(min_length=1)]
    """The server's name for the model."""


class ScoreStage(StageBase):
    """Scores a packed corpus once with the reference model: loss and entropy of every token (losses from a server)."""

    kind: Literal["score"]
    reference: Annotated[Name, StageRef(("pretrain", "sft"))] | PretrainedModel | None = None
    """A model that a stage has trained, or one from elsewhere; None where a server scores."""
    server: ScoreServer | None = None
    corpus: Annotated[Name, StageRef(("corpus",))]
    batch_size: PositiveInt = 64
    """Blocks in one forward pass."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of weights and matrix products; losses and entropies are summed in float32 in any case."""
