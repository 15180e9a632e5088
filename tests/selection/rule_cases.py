"""One small case of every rule with its numbers by hand, and made-up inputs of any size for what all rules promise.

Letters: l loss, H entropy, p = exp(-l), r and Hr of the reference, b of the base, h of an earlier self, t position.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from rho1bench.recipe.models.rule_specs import stored_part
from rho1bench.selection.score_functions import ScoreFunction, ScoreInputs

LN2 = math.log(2.0)


@dataclass(frozen=True)
class Case:
    """What a rule is given, and what it must give."""

    inputs: Mapping[str, list[float]]
    expected: list[float]
    parameters: Mapping[str, Any] = field(default_factory=dict)


L, R = [2.0, 1.0, 4.0], [0.5, 1.5, 4.0]
BOTH = {"losses": L, "reference.losses": R}
EXCESS = [1.5, -0.5, 0.0]
CASES: dict[str, list[Case]] = {
    "full": [Case({"token_positions": [7, 8]}, [1.0, 1.0])],
    # splitmix64 that begins with 0 gives E220A8397B1DCDAF first, with 1 910A2DEC89025CC1: the upper 24 bits as a share.
    "random": [Case({"token_positions": [0, 1]}, [0xE220A8 / 2**24, 0x910A2D / 2**24])],
    "excess_loss": [Case(BOTH, EXCESS)],
    "reversed_excess_loss": [Case(BOTH, [-1.5, 0.5, 0.0])],
    # u is the share of "random" and half a step; (l - r) / 2 - ln(-ln u)
    "sampled_excess_loss": [
        Case(
            {"losses": [3.0, 1.0], "reference.losses": [1.0, 1.0], "token_positions": [0, 1]},
            [
                1.0 - math.log(-math.log((0xE220A8 + 0.5) / 2**24)),
                0.0 - math.log(-math.log((0x910A2D + 0.5) / 2**24)),
            ],
            {"temperature": 2.0},
        )
    ],
    "reference_loss": [Case({"reference.losses": R}, [-0.5, -1.5, -4.0])],
    "reference_entropy": [Case({"reference.entropies": [0.25, 3.0]}, [-0.25, -3.0])],
    "middle_reference_loss": [Case({"reference.loss_ranks": [0.0, 0.4, 0.5, 0.75]}, [-0.5, -0.1, 0.0, -0.25])],
    "base_excess_loss": [Case({"base.losses": [3.0, 1.0, 0.5], "reference.losses": R}, [2.5, -0.5, -3.5])],
    # Document 5: gains 2.5 and -0.5, mean 1. Document 9: gains -3.5 and (not counted) 8, mean -3.5.
    "document_excess_loss": [
        Case(
            {
                "base.losses": [3.0, 1.0, 0.5, 9.0],
                "reference.losses": [*R, 1.0],
                "document_ids": [5, 5, 9, 9],
                "eligible": [1, 1, 1, 0],
            },
            [1.0, 1.0, -3.5, -3.5],
        )
    ],
    "training_loss": [Case({"losses": L}, L)],
    "model_entropy": [Case({"entropies": [0.5, 2.5]}, [0.5, 2.5])],
    "drop_low_probability": [Case({"losses": L}, [-2.0, -1.0, -4.0])],
    "self_gain": [Case({"losses": L, "earlier.losses": [3.0, 1.0, 1.0]}, [1.0, 0.0, -3.0])],
    "reversed_self_gain": [Case({"losses": L, "earlier.losses": [3.0, 1.0, 1.0]}, [-1.0, 0.0, 3.0])],
    # sigmoid(ln 3) = 3/4, sigmoid(0) = 1/2, sigmoid(-ln 3) = 1/4; a softmax weight is exp of it, at most exp(60)
    "soft_excess_loss": [
        Case(
            {"losses": [math.log(9.0), 1.0, 0.0], "reference.losses": [0.0, 1.0, math.log(9.0)]},
            [0.75, 0.5, 0.25],
            {"temperature": 2.0},
        ),
        Case(
            {"losses": [LN2, 0.0, 90.0], "reference.losses": [0.0, LN2, 0.0]},
            [2.0, 0.5, math.exp(60.0)],
            {"shape": "softmax"},
        ),
    ],
    "probability_weight": [Case({"losses": [0.0, LN2, 2 * LN2]}, [1.0, 0.5, 0.25])],
    "entropy_weight": [
        Case({"entropies": [0.0, 0.5, 3.0]}, [1.0, 1.5, 4.0]),
        Case({"entropies": [0.0, 0.5, 3.0]}, [0.0, 0.25, 9.0], {"offset": 0.0, "power": 2.0}),
    ],
    # tanh(ln 2) = 3/5, tanh(ln 3) = 4/5
    "position_ramp": [
        Case({"block_positions": [0, 1, 2]}, [0.0, 0.6, 15 / 17], {"length": 1 / LN2}),
        Case({"block_positions": [10]}, [math.tanh(1.0)]),
    ],
}


def give(function: ScoreFunction, tensors: Mapping[str, Tensor], parameters: Mapping[str, Any] | None = None) -> Tensor:
    """What a rule gives for tensors, with its default parameters or others."""
    settings = function.parameters.model_validate(dict(parameters or {}))
    read = {name: tensors[name] for name in function.inputs}
    return function.compute(ScoreInputs(read, seed=SEED, step=3, total_steps=10, settings=settings))


SEED = 0
"""With it, a token's hash is the first output of splitmix64 that begins with its position."""


def check(function: ScoreFunction, case: Case) -> None:
    """Assert that the rule gives the numbers of the case."""
    tensors = {name: typed(name, torch.tensor(values)) for name, values in case.inputs.items()}
    assert set(tensors) == set(function.inputs)
    found = give(function, tensors, case.parameters)
    torch.testing.assert_close(found.double(), torch.tensor(case.expected, dtype=torch.float64), rtol=2e-6, atol=1e-6)


def typed(name: str, values: Tensor) -> Tensor:
    """Values in the type that the input ``name`` has."""
    if name == "eligible":
        return values.bool()
    return values.long() if name.endswith(("_ids", "_positions")) else values.float()


def made_up(rows: int, columns: int, seed: int, names: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """Inputs of blocks of tokens that do not differ but by chance, (rows, columns) each; losses as in a store."""
    generator = torch.Generator().manual_seed(seed)

    def losses() -> Tensor:
        return torch.empty(rows, columns).exponential_(1.0, generator=generator).half().float()

    starts = torch.rand(rows, columns, generator=generator) < 0.2
    first = torch.arange(rows).unsqueeze(1) * columns
    places = torch.arange(columns).repeat(rows, 1)
    found = {
        "losses": losses(),
        "entropies": losses(),
        "eligible": torch.rand(rows, columns, generator=generator) < 0.9,
        "target_ids": torch.randint(100, (rows, columns), generator=generator),
        "token_positions": first + places,
        "block_positions": places + 1,
        "document_positions": places,
        "document_ids": first + starts.long().cumsum(dim=1),
    }
    for name in names:
        part = stored_part(name)
        if part is not None:
            found[name] = torch.rand(rows, columns, generator=generator) if part[1] == "loss_ranks" else losses()
    return found
