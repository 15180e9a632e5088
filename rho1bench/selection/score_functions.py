"""Score functions by name: how much each token deserves its loss; the highest scores are kept (paper section 2.2, 3.4).

Another package adds its own through an entry point of the group ``rho1bench.score_functions``.

Shapes: N tokens of any arrangement; all tensors of a call have one shape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint

import torch
from torch import Tensor

from rho1bench.errors import PluginError
from rho1bench.recipe.models.score_names import package, plugins


@dataclass(frozen=True)
class ScoreInputs:
    """What a score function may read; a tensor it did not ask for may be None. Losses and entropies are float32."""

    losses: Tensor | None
    """The model's current loss of each token, in nats."""
    reference_losses: Tensor | None
    reference_entropies: Tensor | None
    token_positions: Tensor
    """A number of each token's own (block * block_size + position), int64; the same in every run."""
    seed: int


@dataclass(frozen=True)
class ScoreFunction:
    """A named score and what it reads."""

    name: str
    compute: Callable[[ScoreInputs], Tensor]
    needs_losses: bool = False
    """True: the score depends on the model being trained, so a forward pass comes before the choice."""
    needs_reference: bool = False
    needs_entropy: bool = False
    """True: it reads the reference's entropies, which a store made by a server does not have."""


_SCORE_FUNCTIONS: dict[str, ScoreFunction] = {}


def register(function: ScoreFunction) -> None:
    """Add a score function; raises ValueError if the name is taken."""
    if function.name in _SCORE_FUNCTIONS:
        raise ValueError(f"score function {function.name!r} is registered already")
    _SCORE_FUNCTIONS[function.name] = function


def score_function(name: str) -> ScoreFunction:
    """Return the score function called ``name``, from another package if need be.

    Raises ValueError with the known names if there is none, PluginError if another package's cannot be used.
    """
    if name in plugins() and name not in _SCORE_FUNCTIONS:
        register(_load(plugins()[name]))
    if name not in _SCORE_FUNCTIONS:
        raise ValueError(f"unknown score function {name!r}; known: {', '.join(score_function_names())}")
    return _SCORE_FUNCTIONS[name]


def score_function_names() -> list[str]:
    """Return the names of all score functions, those of other packages included."""
    return sorted({*_SCORE_FUNCTIONS, *plugins()})


def _load(point: EntryPoint) -> ScoreFunction:
    where = f"the score function {point.name!r} of the package {package(point)} (entry point {point.value})"
    try:
        loaded = point.load()
    except Exception as error:
        raise PluginError(
            f"{where} cannot be loaded: {type(error).__name__}: {error}. Fix or uninstall the package."
        ) from error
    if not isinstance(loaded, ScoreFunction) or loaded.name != point.name:
        raise PluginError(f"{where} is {loaded!r:.200}; expected a ScoreFunction whose name is {point.name!r}.")
    return loaded


def _given(tensor: Tensor | None) -> Tensor:
    assert tensor is not None, "the score function was not given what it declares to need"
    return tensor


def _excess_loss(inputs: ScoreInputs) -> Tensor:
    """Equation 3: the current loss minus the reference's."""
    return _given(inputs.losses) - _given(inputs.reference_losses)


def _reference_loss(inputs: ScoreInputs) -> Tensor:
    """Section 3.4: a token that the reference finds hard is less likely to be kept."""
    return -_given(inputs.reference_losses)


def _reference_entropy(inputs: ScoreInputs) -> Tensor:
    """Section 3.4: a token where the reference is unsure is less likely to be kept."""
    return -_given(inputs.reference_entropies)


def _training_loss(inputs: ScoreInputs) -> Tensor:
    return _given(inputs.losses)


def _random(inputs: ScoreInputs) -> Tensor:
    """A hash of seed and token number (the splitmix64 finaliser), so it does not depend on batch or device."""
    state = inputs.token_positions + _signed((inputs.seed + 1) * 0x9E3779B97F4A7C15)
    state = (state ^ _shift(state, 30)) * _signed(0xBF58476D1CE4E5B9)
    state = (state ^ _shift(state, 27)) * _signed(0x94D049BB133111EB)
    return _shift(state ^ _shift(state, 31), 40).to(torch.float32) / 2**24


def _signed(value: int) -> int:
    """Return the int64 that has the low 64 bits of ``value``."""
    return (value + 2**63) % 2**64 - 2**63


def _shift(state: Tensor, bits: int) -> Tensor:
    """Logical right shift; torch's own keeps the sign."""
    return (state >> bits) & ((1 << (64 - bits)) - 1)


def _full(inputs: ScoreInputs) -> Tensor:
    return torch.zeros(inputs.token_positions.shape, dtype=torch.float32, device=inputs.token_positions.device)


register(ScoreFunction("excess_loss", _excess_loss, needs_losses=True, needs_reference=True))
register(ScoreFunction("reference_loss", _reference_loss, needs_reference=True))
register(ScoreFunction("reference_entropy", _reference_entropy, needs_reference=True, needs_entropy=True))
register(ScoreFunction("training_loss", _training_loss, needs_losses=True))
register(ScoreFunction("random", _random))
register(ScoreFunction("full", _full))
