"""What a user may call a checkpoint on the command line: a folder, or a hub id with an optional ``@revision``.

Turned into :class:`Checkpoint` with a label that is unique among those evaluated together; paper checkpoints are on the
hub (``microsoft/rho-math-1b-v0.1``), those of a run in its folder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from rho1bench.errors import CheckpointError
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.hub import find_model

_GENERIC = re.compile(r"(checkpoint|model|final|last|best|snapshot)s?|(checkpoint|step)-\d+")


def find_checkpoints(names: Sequence[str], *, served: bool = False) -> list[Checkpoint]:
    """Return the checkpoints called ``names``, with their files on this machine.

    Args:
        names: folders or hub ids; with ``served`` also names that only the server knows.
        served: whether a server holds the weights, so that they need not be here.

    Raises:
        CheckpointError: a folder does not exist, a hub id cannot be downloaded, or a name comes twice.
    """
    if len(set(names)) < len(names):
        raise CheckpointError(f"a checkpoint is named twice: {', '.join(names)}")
    labels = _labels(names)
    return [_find(name, label, served) for name, label in zip(names, labels, strict=True)]


def _find(name: str, label: str, served: bool) -> Checkpoint:
    folder = Path(name).expanduser()
    if served and not folder.exists():
        return Checkpoint(label, folder, label, source=name)
    folder, commit = find_model(name)
    return Checkpoint(label, folder, label, source=name.partition("@")[0] if commit else name, revision=commit)


def _labels(names: Sequence[str]) -> list[str]:
    """Name each by its last part, with as many parents as make it tell something and stand alone."""
    parts = [[part for part in re.split(r"[/\\]+", name) if part.strip("~.")] or ["model"] for name in names]
    lengths = [2 if _GENERIC.fullmatch(part[-1]) else 1 for part in parts]
    for _ in range(max(map(len, parts))):
        labels = ["-".join(part[-length:]) for part, length in zip(parts, lengths, strict=True)]
        lengths = [length + (labels.count(label) > 1) for label, length in zip(labels, lengths, strict=True)]
    return [label if labels.count(label) == 1 else f"{label}-{place}" for place, label in enumerate(labels, start=1)]
