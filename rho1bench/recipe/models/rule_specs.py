"""What a recipe may know of a selection rule without running it: inputs, kind, parameters, source (paper section 2.2).

The code of a rule stands in ``rho1bench.selection`` (or in another package); nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rho1bench.recipe.models.base import Model

EARLIER = "earlier"
"""The store's name for an earlier self of the model: a stored snapshot, or the moving average of its weights."""
LOSSES, ENTROPIES, LOSS_RANKS = "losses", "entropies", "loss_ranks"


class Parameters(Model):
    """Base of a rule's parameters, each typed and with a default; itself those of a rule that has none."""


@dataclass(frozen=True)
class Input:
    """One thing that a rule may read: a tensor with one value a token."""

    name: str
    unit: str
    meaning: str
    cost: str = "nothing"


INPUTS = (
    Input(
        LOSSES,
        "nats",
        "current loss of the model being trained",
        "nothing where an optimizer step is one micro-batch, else one more forward pass",
    ),
    Input(
        ENTROPIES,
        "nats",
        "current entropy of the model's next-token distribution",
        "that of losses, and one more pass over the logits",
    ),
    Input(
        f"NAME.{LOSSES}",
        "nats",
        "loss under the model whose scores token_scores calls NAME (reference, base, any other)",
        "one forward pass of that model over the corpus, once; 4 bytes a token on disk",
    ),
    Input(f"NAME.{ENTROPIES}", "nats", "entropy of that model's next-token distribution", f"that of NAME.{LOSSES}"),
    Input(
        f"NAME.{LOSS_RANKS}",
        "share",
        "place of NAME.losses among those of the whole corpus: 0 lowest, 1 highest, equal losses share their middle",
        f"that of NAME.{LOSSES}, and one pass over the store when training starts",
    ),
    Input(
        f"{EARLIER}.{LOSSES}",
        "nats",
        "loss under an earlier self of the model",
        "with moving_average, one more forward pass and one more copy of the weights; else that of a store",
    ),
    Input("eligible", "true or false", "whether the token has a target (a prompt's tokens and padding have none)"),
    Input("target_ids", "vocabulary id", "the token itself"),
    Input("token_positions", "number", "a number of the token's own in the stream of training, the same in every run"),
    Input("block_positions", "tokens", "place in its block (in fine-tuning: its sample); the first target is at 1"),
    Input("document_positions", "tokens", "place in the part of its document that lies in the block, from 0"),
    Input("document_ids", "number", "a number of its own for the part of each document that lies in a block"),
)
"""Everything that a rule may read. Each is one value a token, in tensors of one shape: B blocks of T - 1 predicted
tokens; losses and entropies are float32, positions and ids int64. ``step``, ``total_steps`` and ``seed`` are always
there, as numbers."""
DOCUMENT_INPUTS = frozenset({"document_positions", "document_ids"})
MODEL_INPUTS = frozenset({LOSSES, ENTROPIES})
_STORED = frozenset({LOSSES, ENTROPIES, LOSS_RANKS})
_FREE = frozenset(one.name for one in INPUTS if "." not in one.name)


def stored_part(name: str) -> tuple[str, str] | None:
    """Return store and kind of an input like ``reference.losses``; None for one that no store holds."""
    store, dot, kind = name.partition(".")
    return (store, kind) if dot and store and kind in _STORED else None


def is_input(name: str) -> bool:
    """Tell whether a rule may read ``name``."""
    return name in _FREE or stored_part(name) is not None


@dataclass(frozen=True)
class RuleSpec:
    """A selection rule: its name, what it reads and what it gives."""

    name: str
    inputs: tuple[str, ...] = ()
    """Names of :data:`INPUTS`; it is given no others."""
    gives: Literal["scores", "weights"] = "scores"
    """``scores`` are ranked, and the best share is kept; ``weights`` are non-negative, and multiply the loss."""
    parameters: type[Parameters] = Parameters
    summary: str = ""
    """What it keeps, in a few words."""
    source: str = ""
    """The paper or entry that it follows."""
    even_over_positions: bool = True
    """False: it is meant to treat the places of a block differently."""

    @property
    def stores(self) -> list[str]:
        """The stores that it reads, ``earlier`` among them."""
        parts = [stored_part(name) for name in self.inputs]
        return list(dict.fromkeys(part[0] for part in parts if part is not None))

    @property
    def reads_model(self) -> bool:
        """True where it depends on the model being trained, so that a forward pass comes before the choice."""
        return bool(MODEL_INPUTS & set(self.inputs))
