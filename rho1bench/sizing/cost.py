"""What a stage took: operations, seconds, and on which hardware; kept beside its result.

Training stages write it into ``training.json``, scoring into ``scores.json``; ``comparison.costs`` adds up what one
checkpoint needed. Operations are those of ``sizing.flops``.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field


class Cost(BaseModel):
    """Operations, wall seconds and hardware of one stage, or of several together."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    flops: float | None = Field(ge=0.0)
    """None where they are not known: a server's model made the scores."""
    seconds: float = Field(ge=0.0)
    """Of all attempts, with the measurements along the way (validation, checkpoints), whose operations are left out."""
    hardware: str
    """As ``system.provenance.device`` calls it; of several stages each name once, joined by ``" + "``."""


def total_cost(costs: Iterable[Cost]) -> Cost:
    """Return the sum; its ``flops`` are None if those of one are."""
    parts = list(costs)
    known = [part.flops for part in parts if part.flops is not None]
    names = dict.fromkeys(name for part in parts for name in part.hardware.split(" + ") if name)
    return Cost(
        flops=sum(known) if len(known) == len(parts) else None,
        seconds=round(sum(part.seconds for part in parts), 3),
        hardware=" + ".join(names),
    )
