"""How a selection rule is written: a function of named inputs, and the inputs that it is given (section 2.2, 3.4).

``recipe.models.rule_specs.INPUTS`` lists every input with its unit and what it costs; ``rho1bench rules`` prints it.
Shapes: N tokens of any arrangement; all tensors of a call have one shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from torch import Tensor

from rho1bench.errors import PluginError
from rho1bench.recipe.models.built_in_rules import BUILT_IN
from rho1bench.recipe.models.rule_specs import Parameters, RuleSpec

P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True)
class ScoreInputs:
    """What a rule is given: the tensors that it declares, by name (``inputs["reference.losses"]``), and the numbers."""

    tensors: Mapping[str, Tensor]
    """One shape; losses and entropies float32 in nats, positions and ids int64, ``eligible`` bool."""
    seed: int = 0
    step: int = 0
    """Finished optimizer steps: 0 in the first."""
    total_steps: int = 1
    settings: Parameters = field(default_factory=Parameters)

    def __getitem__(self, name: str) -> Tensor:
        """Return an input; raises PluginError for one that the rule does not declare."""
        if name not in self.tensors:
            declared = ", ".join(self.tensors) or "none"
            raise PluginError(f"a selection rule reads {name!r}, which is not among its inputs ({declared}).")
        return self.tensors[name]

    def parameters(self, model: type[P]) -> P:
        """Return the rule's parameters, of its own ``model``."""
        assert isinstance(self.settings, model), "they were made with the rule's own model"
        return self.settings


Compute = Callable[[ScoreInputs], Tensor]


@dataclass(frozen=True)
class ScoreFunction:
    """A named rule: its code, and what :class:`~rho1bench.recipe.models.rule_specs.RuleSpec` says of it.

    ``compute`` returns one number a token, of the inputs' shape: scores, of which the highest are kept, or weights.
    No gradient flows through either. It must not depend on which other tokens a call holds, but for those of the same
    document: training calls it with a micro-batch of one process.
    """

    name: str
    compute: Compute
    inputs: tuple[str, ...] = ()
    gives: Literal["scores", "weights"] = "scores"
    parameters: type[Parameters] = Parameters
    summary: str = ""
    source: str = ""
    even_over_positions: bool = True

    @property
    def spec(self) -> RuleSpec:
        """The rule without its code."""
        fields = (self.gives, self.parameters, self.summary, self.source, self.even_over_positions)
        return RuleSpec(self.name, self.inputs, *fields)


def built_in(compute: Compute) -> ScoreFunction:
    """Make a rule of a function that is called as one of ``recipe.models.built_in_rules``."""
    spec = BUILT_IN[compute.__name__]
    return ScoreFunction(
        spec.name,
        compute,
        spec.inputs,
        spec.gives,
        spec.parameters,
        spec.summary,
        spec.source,
        spec.even_over_positions,
    )
