"""Stage ``atlas``: a page of the tokens of a corpus (paper section 5, figure 13)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from rho1bench.recipe.models.base import (
    CHECKPOINT,
    SUM_ORDER,
    Fraction,
    Name,
    Operational,
    PositiveInt,
    StageBase,
    StageRef,
    StageSpec,
)
from rho1bench.recipe.models.selection import ScoreName, Stores

ATLAS_PAGE = "atlas.html"


class AtlasStage(StageBase):
    """Writes ``atlas.html``: the tokens of a corpus, what checkpoints and the reference say of each, how rules rank it.

    ``rho1bench atlas RUN`` writes one of any run, and a larger one.
    """

    spec: ClassVar[StageSpec] = StageSpec(
        "rho1bench.atlas.stage:run", ("torch", "transformers", "tokenizers", "numpy", "jinja2")
    )
    kind: Literal["atlas"]
    corpus: Annotated[Name, StageRef(("corpus",), None)]
    checkpoints: Annotated[list[Annotated[Name, StageRef(("pretrain", "sft"), CHECKPOINT)]], Field(min_length=1)]
    """Training stages, each with its last checkpoint."""
    token_scores: Stores | None = None
    """The stages with stored scores of the corpus: one, called ``reference``, or a mapping of names."""
    rules: list[ScoreName] = []
    """Default: the paper's, as far as their inputs are known."""
    ratio: Fraction = 0.6
    """The share of tokens that the page shows as kept at first."""
    num_tokens: PositiveInt = 2**20
    """About so many tokens, in blocks that are spread evenly over the corpus."""
    batch_size: Annotated[PositiveInt, Operational(SUM_ORDER)] = 64
    """Blocks in one forward pass."""

    @property
    def stores(self) -> dict[str, str]:
        """The score stages by the name under which rules read them."""
        if isinstance(self.token_scores, str):
            return {"reference": self.token_scores}
        return dict(self.token_scores or {})
