"""Rows of a data set of the Hugging Face hub, streamed through ``datasets``: no download of the whole, no code run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from rho1bench.corpus.sources.local_rows import Position, Row, parse_line
from rho1bench.errors import DataError, MissingPackageError
from rho1bench.recipe import HubSource
from rho1bench.system.files import sha256_json

if TYPE_CHECKING:
    from datasets import IterableDataset

_BUILDERS = {".parquet": "parquet", ".jsonl": "text", ".json": "json", ".txt": "text"}
"""How ``datasets`` reads files by suffix. JSON lines are read as text and parsed here: a reader that infers columns
fails where two files of a set differ in one that nobody needs (proof-pile-2's ``meta``)."""


class HubRows:
    """The rows of one source; ``position`` is where a later reader resumes."""

    def __init__(self, source: HubSource, seed: int, position: Position | None) -> None:
        self._source = source
        self._rows = int(position["row"]) if position else 0
        self._dataset = _open(source, seed)
        self._parse = _has_json_lines(source)
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
                where = f"{name}:{self._rows}"
                yield parse_line(str(row["text"]).encode("utf-8"), where) if self._parse else (where, row)
        except Exception as error:  # the hub's clients raise errors of many libraries
            yield DataError(
                f"{name}: reading stopped after {self._rows} rows ({_first_line(error)}). Give the same command again "
                "when the hub can be reached; it continues after the last finished shard."
            )


def _open(source: HubSource, seed: int) -> IterableDataset:
    from datasets import load_dataset
    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    try:
        return load_dataset(**_arguments(source, seed), split=source.split, streaming=True)
    except DataError:
        raise
    except Exception as error:
        if "zstd not supported" in str(error):
            raise MissingPackageError("zstandard", f"{source.dataset} (.zst files)", "pip install zstandard") from error
        raise DataError(
            f"{source.dataset}: the data set cannot be opened ({_first_line(error)}). Check its name, config "
            f"{source.config!r}, split {source.split!r} and revision {source.revision!r}, that the hub can be reached, "
            "and, for a gated one, that you are logged in (`hf auth login`); or use local files (type: local)."
        ) from error


def _arguments(source: HubSource, seed: int) -> dict[str, object]:
    """Return how ``load_dataset`` is called; ``data_files`` go to a reader of files, past any loading script."""
    folder = Path(source.dataset).expanduser()
    path = str(folder) if folder.is_dir() else source.dataset
    if source.data_files is None:
        return {"path": path, "name": source.config, "revision": source.revision}
    patterns = _patterns(source)
    if source.shuffle_files:
        patterns = shuffled_files(source, seed)
    suffixes = {_suffix(name) for name in patterns}
    builder = _BUILDERS.get(suffixes.pop() or "") if len(suffixes) == 1 else None
    if builder is None:
        raise DataError(
            f"{source.dataset}: data_files must all be of one kind out of {', '.join(_BUILDERS)}, found {patterns}"
        )
    revision = f"@{source.revision}" if source.revision else ""
    root = path if folder.is_dir() else f"hf://datasets/{path}{revision}"
    return {"path": builder, "data_files": {source.split: [f"{root}/{name}" for name in patterns]}}


def shuffled_files(source: HubSource, seed: int) -> list[str]:
    """Return the files of ``data_files`` in an order that depends on ``seed`` and their names alone.

    Raises DataError where no file fits.
    """
    folder = Path(source.dataset).expanduser()
    if folder.is_dir():
        names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    else:
        from huggingface_hub import HfApi

        names = HfApi().list_repo_files(source.dataset, repo_type="dataset", revision=source.revision)
    chosen = [name for name in names if any(fnmatch(name, pattern) for pattern in _patterns(source))]
    if not chosen:
        raise DataError(f"{source.dataset}: has no file that fits data_files {source.data_files!r}.")
    return sorted(chosen, key=lambda name: sha256_json([seed, name]))


def _patterns(source: HubSource) -> list[str]:
    files = source.data_files or []
    return [files] if isinstance(files, str) else list(files)


def _suffix(name: str) -> str | None:
    return next((suffix for suffix in _BUILDERS if suffix in Path(name).suffixes), None)


def _has_json_lines(source: HubSource) -> bool:
    return any(_suffix(name) == ".jsonl" for name in _patterns(source))


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
