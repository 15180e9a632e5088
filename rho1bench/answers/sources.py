"""Where the answers of a model lie: the folders of evaluations, and files of graded lines.

A source is named by a path, or by ``NAME=PATH`` where the page is to call it otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rho1bench.errors import DataError

_SAMPLES = "samples_*.jsonl"


@dataclass(frozen=True)
class Source:
    """The answers of one model: its label, and its files of lines."""

    label: str
    files: tuple[Path, ...]


def evaluation_sources(folder: Path, labels: Sequence[str] | None = None) -> list[Source]:
    """Return the checkpoints of an evaluation's folder, those along the way last; ``labels`` chooses and orders."""
    if labels is None:
        found = sorted({path.parent.name for path in folder.glob(f"*/{_SAMPLES}")})
        labels = sorted(found, key=lambda label: ("@" in label, label))
    sources = [Source(label, tuple(sorted((folder / label).glob(_SAMPLES)))) for label in labels]
    return [source for source in sources if source.files]


def find_sources(words: Sequence[str]) -> list[Source]:
    """Return the models that the words of a command line name; files of one name are one model's.

    A word is a run, an evaluation, one checkpoint's folder in it, or a file of lines. Raises DataError.
    """
    found: dict[str, tuple[Path, ...]] = {}
    for word in words:
        for source in _named(word):
            found[source.label] = (*found.get(source.label, ()), *source.files)
    return [Source(label, tuple(dict.fromkeys(files))) for label, files in found.items()]


def _named(word: str) -> Iterator[Source]:
    name, separator, rest = word.partition("=")
    path = Path(rest if separator and not Path(word).exists() else word)
    sources = list(_sources(path))
    if path == Path(word):
        yield from sources
    elif len(sources) == 1:
        yield Source(name, sources[0].files)
    else:
        yield from (Source(f"{name} {source.label}", source.files) for source in sources)


def _sources(path: Path) -> Iterator[Source]:
    if path.is_file():
        yield Source(path.stem.removeprefix("samples_"), (path,))
    elif any(path.glob(_SAMPLES)):
        yield Source(path.resolve().name, tuple(sorted(path.glob(_SAMPLES))))
    elif folders := evaluations_in(path):
        several = len(folders) > 1
        for folder in folders:
            for source in evaluation_sources(folder):
                name = folder.relative_to(path).as_posix().replace("stages/", "")
                yield Source(f"{name}/{source.label}" if several else source.label, source.files)
    else:
        raise DataError(
            f"{path}: holds no answers. Expected a run, a folder that `rho1bench eval` wrote, one checkpoint's folder "
            "in it, or a file that `rho1bench grade` wrote."
        )


def evaluations_in(path: Path) -> list[Path]:
    """Return the folders of evaluations in a run (its stages, of all seeds), or the folder itself where it is one."""
    candidates = [path, *sorted(path.glob("stages/*")), *sorted(path.glob("*/stages/*"))]
    return [folder for folder in candidates if any(folder.glob(f"*/{_SAMPLES}"))]


def find_pair(left: str, right: str) -> tuple[Source, Source]:
    """Return the two models that two words name, told apart by the paths where their names are the same.

    Raises DataError where a word leads nowhere or to several models.
    """
    first, second = _one(left), _one(right)
    if first.label == second.label:
        first, second = Source(left.rstrip("/"), first.files), Source(right.rstrip("/"), second.files)
    if first.label == second.label:
        raise DataError(f"{left}: is set beside itself. Name two checkpoints.")
    return first, second


def _one(word: str) -> Source:
    found = find_sources([word])
    if len(found) > 1:
        labels = ", ".join(source.label for source in found[:8])
        raise DataError(f"{word}: holds {len(found)} models ({labels}). Name the folder of one checkpoint in it.")
    return found[0]
