"""What to do with a stage, and why: its folder compared with what the stage is made of now.

Nothing is deleted: a result that no longer fits is set aside (``pipeline.set_aside``). Other versions of packages make
no stage stale; the user is asked whether what they made still counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rho1bench.pipeline.fingerprint import Fingerprint
from rho1bench.pipeline.manifest import State, find_damage, read_manifest, read_started
from rho1bench.recipe.differences import differences

INPUT, CODE = "input ", "code "
"""How lines of :func:`changes` begin that tell of no field."""
_SHOWN, _WIDTH = 3, 40


@dataclass(frozen=True)
class Decision:
    """What to do with a stage and why; ``set_aside``: its folder is given another name first."""

    action: Literal["skip", "resume", "run"]
    reason: str
    set_aside: bool = False
    seconds: float = 0.0
    """Seconds that a skipped stage took when it ran."""
    changes: tuple[str, ...] = ()
    """What made the stage stale: a line for every field, input and file of code."""
    versions: tuple[str, ...] = ()
    """Packages whose versions are others than those that made what is kept, unless the user has accepted them."""
    operational: tuple[str, ...] = ()
    """Fields that are set otherwise than when the result was made, which does not matter."""

    @property
    def word(self) -> str:
        """The action in a word, ``redo`` where a result is set aside."""
        return "redo" if self.set_aside else self.action


def decide(folder: Path, now: Fingerprint, *, takes_files: bool = False) -> Decision:
    """Compare the folder of a stage with what the stage is made of; ``takes_files`` is that of its ``StageSpec``."""
    manifest = read_manifest(folder)
    if manifest is not None:
        if manifest.fingerprint != now.sha256:
            return _stale("", "", manifest, now)
        if damage := find_damage(folder, manifest):
            return Decision("run", f"its result is damaged: {damage}", set_aside=True)
        return _kept("skip", "nothing changed", manifest, now, manifest.seconds)
    started = read_started(folder)
    if started is not None:
        if started.fingerprint != now.sha256:
            return _stale("was stopped, and ", " since", started, now)
        return _kept("resume", "continues where it was stopped", started, now)
    if not _holds_files(folder):
        return Decision("run", "not run yet")
    if takes_files:
        return Decision("resume", "takes the files that are there, if they fit")
    return Decision("run", "not run yet, and its folder holds files of unknown origin", set_aside=True)


def _stale(before: str, after: str, state: State, now: Fingerprint) -> Decision:
    reason = f"{before}{_summary(state.made_of, now)}{after}"
    return Decision("run", reason, set_aside=True, changes=tuple(changes(state.made_of, now)))


def _kept(
    action: Literal["skip", "resume"], reason: str, state: State, now: Fingerprint, seconds: float = 0
) -> Decision:
    versions = _versions(state, now)
    if versions:
        reason = f"was made with {'; '.join(versions)}"
    set_otherwise = _told(state.made_of["operational"], now.operational)
    return Decision(action, reason, seconds=seconds, versions=versions, operational=tuple(set_otherwise))


def other_versions(folder: Path, now: Fingerprint) -> tuple[str, ...]:
    """Return :attr:`Decision.versions` for the folder of a stage; reads no file but its state."""
    state = read_manifest(folder) or read_started(folder)
    return _versions(state, now) if state is not None and state.fingerprint == now.sha256 else ()


def _versions(state: State, now: Fingerprint) -> tuple[str, ...]:
    made = state.made_of["packages"]
    return tuple(
        f"{name} {made.get(name) or 'absent'}, here {version or 'absent'}"
        for name, version in now.packages.items()
        if version not in (made.get(name), state.accepted.get(name, ...))
    )


def changes(made_of: Mapping[str, Any], now: Fingerprint) -> Iterator[str]:
    """Yield a line for everything in which a stage differs from what its result was made of."""
    if not made_of:
        return
    yield from _told(made_of["recipe"], now.recipe)
    yield from _told({"seed": made_of["seed"]}, {"seed": now.seed})
    yield from (f"{INPUT}{name}: is another one" for name in _keys(made_of["inputs"], now.inputs))
    for name in _keys(made_of["code"], now.code):
        word = "is new" if name not in made_of["code"] else "changed" if name in now.code else "is gone"
        yield f"{CODE}{name}: {word}"


def _summary(made_of: Mapping[str, Any], now: Fingerprint) -> str:
    """Say in a few words what has changed."""
    if not made_of:
        return "it is of an earlier version, which did not note what a result is made of"
    words = _keys(made_of["recipe"], now.recipe)
    words += [] if made_of["seed"] == now.seed else ["the seed"]
    words += [f"input {name}" for name in _keys(made_of["inputs"], now.inputs)]
    if code := _keys(made_of["code"], now.code):
        words.append(f"its code ({len(code)} file{'s' if len(code) > 1 else ''})")
    words = words or ["the fingerprint in its manifest"]  # whose parts are the same
    shown = [*words[:_SHOWN], *([f"{len(words) - _SHOWN} more"] if len(words) > _SHOWN else [])]
    *first, last = shown
    return f"{', '.join(first)} and {last} have changed" if first else f"{last} has changed"


def _keys(before: object, now: object) -> list[str]:
    return [key for key, _, _ in differences(before, now)]


def _told(before: object, now: object) -> Sequence[str]:
    return [f"{key}: {_short(old)} -> {_short(new)}" for key, old, new in differences(before, now)]


def _short(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _holds_files(folder: Path) -> bool:
    """Tell whether a folder holds anything but what killed writers left."""
    return any(path.is_file() and not (path.name[0] == "." and path.suffix == ".tmp") for path in folder.rglob("*"))
