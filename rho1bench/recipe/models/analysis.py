"""Stage ``analysis``: what the checkpoints of pretraining stages say of single tokens (paper sections 2.1 and 3.5)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from rho1bench.recipe.models.base import SUM_ORDER, Name, Operational, PositiveInt, StageBase, StageRef, StageSpec
from rho1bench.recipe.models.evaluation import ALL_CHECKPOINTS
from rho1bench.recipe.models.selection import ScoreName

PAPERS_TOKENS = 320_000
"""Tokens whose dynamics the paper follows (section 2.1)."""


class AnalysisStage(StageBase):
    """Follows the tokens of a text through the checkpoints of pretraining stages: figures 3 and 6 to 14, and more."""

    spec: ClassVar[StageSpec] = StageSpec("rho1bench.analysis.stage:run", ("torch", "transformers", "numpy", "scipy"))
    kind: Literal["analysis"]
    curves: Annotated[list[Annotated[Name, StageRef(("pretrain",), ALL_CHECKPOINTS)]], Field(min_length=1)]
    """The stages that are followed, from where they start to their end: a selective one and its baseline for example.
    Each needs checkpoints along the way (``num_checkpoints``) for lines through more than two points."""
    corpus: Annotated[Name | None, StageRef(("corpus",), None)] = None
    """The text; default: the corpus that the first of ``curves`` trains on."""
    evaluation: Annotated[Name | None, StageRef(("eval",))] = None
    """Where accuracies of checkpoints and ratios come from (figures 7 and 9)."""
    suite: str | None = None
    """Default: the first suite on which checkpoints along the way were evaluated."""
    num_tokens: PositiveInt = PAPERS_TOKENS
    """Tokens of the text at most, in whole blocks that are spread evenly over the corpus."""
    rules: list[ScoreName] | None = None
    """Rules whose choices are compared; default: those of the paper and their kin whose inputs are known."""
    precision: Literal["fp32", "bf16"] = "fp32"
    batch_size: Annotated[PositiveInt, Operational(SUM_ORDER)] = 8
    """Blocks in one forward pass."""

    @model_validator(mode="after")
    def _accuracies_come_from_somewhere(self) -> Self:
        if self.suite is not None and self.evaluation is None:
            raise ValueError(f"suite {self.suite!r} needs an evaluation, whose accuracies it names")
        return self
