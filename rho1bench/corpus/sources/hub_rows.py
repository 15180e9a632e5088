"""Rows of a data set of the Hugging Face hub, streamed through ``datasets``: no download of the whole, no code run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rho1bench.corpus.sources.local_rows import Position, Row
from rho1bench.errors import DataError, MissingPackageError
from rho1bench.recipe import HubSource

if TYPE_CHECKING:
    from datasets import IterableDataset

_BUILDERS = {".parquet": "parquet", ".jsonl": "json", ".json": "json", ".txt": "text"}


class HubRows:
    """The rows of one source; ``position`` is where a later reader resumes."""

    def __init__(self, source: HubSource, position: Position | None) -> None:
        self._source = source
        self._rows = int(position["row"]) if position else 0
        self._dataset = _open(source)
        self._resumed = position["state"] if position else None
        """The state that was loaded, until a row has been read from it; until then ``datasets`` reports the start."""
        if self._resumed is not None:
            self._dataset.load_state_dict(self._resumed)

    def position(self) -> Position:
        """Return the place after the last row given out, as JSON."""
        state = self._dataset.state_dict() if self._resumed is None else self._resumed
        return {"row": self._rows, "state": json.loads(json.dumps(state))}

    def __iter__(self) -> Iterator[Row | DataError]:
        """Yield the rows; a stream that breaks off ends with an error."""
        name = f"{self._source.dataset}[{self._source.split}]"
        try:
            for row in self._dataset:
                self._rows += 1
                self._resumed = None
                yield f"{name}:{self._rows}", row
        except Exception as error:  # the hub's clients raise errors of many libraries
            yield DataError(
                f"{name}: reading stopped after {self._rows} rows ({_first_line(error)}). Give the same command again "
                "when the hub can be reached; it continues after the last finished shard."
            )


def _open(source: HubSource) -> IterableDataset:
    from datasets import load_dataset
    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    try:
        return load_dataset(**_arguments(source), split=source.split, streaming=True)
    except Exception as error:
        if "zstd not supported" in str(error):
            raise MissingPackageError("zstandard", f"{source.dataset} (.zst files)", "pip install zstandard") from error
        raise DataError(
            f"{source.dataset}: the data set cannot be opened ({_first_line(error)}). Check its name, config "
            f"{source.config!r}, split {source.split!r} and revision {source.revision!r}, that the hub can be reached, "
            "and, for a gated one, that you are logged in (`hf auth login`); or use local files (type: local)."
        ) from error


def _arguments(source: HubSource) -> dict[str, object]:
    """Return how ``load_dataset`` is called; ``data_files`` go to a reader of files, past any loading script."""
    folder = Path(source.dataset).expanduser()
    path = str(folder) if folder.is_dir() else source.dataset
    if source.data_files is None:
        return {"path": path, "name": source.config, "revision": source.revision}
    patterns = [source.data_files] if isinstance(source.data_files, str) else list(source.data_files)
    suffixes = {next((suffix for suffix in _BUILDERS if suffix in Path(name).suffixes), None) for name in patterns}
    builder = _BUILDERS.get(suffixes.pop() or "") if len(suffixes) == 1 else None
    if builder is None:
        raise DataError(f"data_files must all be of one kind out of {', '.join(_BUILDERS)}, found {patterns}")
    revision = f"@{source.revision}" if source.revision else ""
    root = path if folder.is_dir() else f"hf://datasets/{path}{revision}"
    return {"path": builder, "data_files": {source.split: [f"{root}/{name}" for name in patterns]}}


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
