"""Where a corpus stage resumes after a kill: written with every finished shard, removed at the end.

One file, replaced atomically: where every source stands, and the tokens that wait for their block.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rho1bench.corpus.mixture import SourceState, TokenSource
from rho1bench.corpus.packed_corpus import Array
from rho1bench.corpus.packing import Packer
from rho1bench.system.files import atomic_path

_NAME = "progress.npz"


@dataclass(frozen=True)
class Saved:
    """A stage as it was when its last shard was finished."""

    num_blocks: int
    tokens_kept: dict[int, int]
    kinds: list[str]
    sources: list[SourceState]
    current: int
    hashes: dict[str, str]
    waiting: dict[str, Array]


def save_progress(
    folder: Path,
    identity: str,
    packer: Packer,
    sources: Sequence[TokenSource],
    current: int,
    hashes: Mapping[str, str],
) -> None:
    """Record the place after all finished shards.

    ``identity`` names the recipe's part, seed and tokenizer; ``hashes`` are those of the shards' files.
    """
    state = {
        "identity": identity,
        "num_blocks": packer.num_blocks,
        "tokens_kept": list(packer.tokens_kept.items()),
        "kinds": packer.kinds.names,
        "sources": [source.state() for source in sources],
        "current": current,
        "hashes": dict(hashes),
    }
    text = np.frombuffer(json.dumps(state).encode(), dtype=np.uint8)
    with atomic_path(folder / _NAME) as temporary, temporary.open("wb") as handle:
        np.savez(handle, state=text, **packer.state())  # type: ignore[arg-type]


def load_progress(folder: Path, identity: str) -> Saved | None:
    """Return where a killed stage stood; None if there was none, or if it was another recipe's."""
    try:
        with np.load(folder / _NAME, allow_pickle=False) as arrays:
            state = json.loads(arrays["state"].tobytes())
            waiting = {name: arrays[name] for name in arrays.files if name != "state"}
    except (FileNotFoundError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    if state["identity"] != identity:
        return None
    kept = {int(source): int(tokens) for source, tokens in state["tokens_kept"]}
    return Saved(
        state["num_blocks"], kept, state["kinds"], state["sources"], state["current"], state["hashes"], waiting
    )


def remove_progress(folder: Path) -> None:
    """Remove the file; a finished stage needs none."""
    (folder / _NAME).unlink(missing_ok=True)
