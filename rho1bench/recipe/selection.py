"""Which tokens keep their loss, and the stage ``score`` that makes the reference's scores (paper section 2.2)."""

from __future__ import annotations

from typing import Annotated, Literal

from rho1bench.recipe.base import Fraction, Model, Name, PositiveInt, StageBase, StageRef


class Selection(Model):
    """Which tokens keep their loss (paper section 2.2, equations 3 to 5)."""

    score: Literal["excess_loss", "reference_loss", "reference_entropy", "training_loss", "random", "full"] = (
        "excess_loss"
    )
    ratio: Fraction
    scope: Literal["sequence", "micro_batch", "global"] = "global"
    token_scores: Annotated[Name | None, StageRef(("score",))] = None
    """The stage with the stored reference scores; needed by every score that reads the reference."""


class ScoreStage(StageBase):
    """Scores a packed corpus once with the reference model (loss and entropy of every token)."""

    kind: Literal["score"]
    reference: Annotated[Name, StageRef(("pretrain", "sft"))]
    corpus: Annotated[Name, StageRef(("corpus",))]
    batch_size: PositiveInt = 64
