"""Suites: which lm-eval tasks stand behind one average of the tables (paper sections 3.2 and 3.3).

A suite may share tasks with another (the general suite counts the two math scores); shared tasks run once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from rho1bench.errors import RunError
from rho1bench.system.paths import tasks_dir

_MATH9 = ("gsm8k", "math500", "svamp", "asdiv", "mawps", "tabmwp", "mathqa", "mmlu_stem", "sat")
_TIR7 = ("gsm8k", "math500", "svamp", "asdiv", "mawps", "tabmwp", "gsm_hard")
_CHOICE = ("agieval", "arc_easy", "arc_challenge", "boolq", "piqa", "hellaswag", "winogrande", "openbookqa")
_GENERAL13 = ("mmlu", "bbh", *_CHOICE, "humaneval", "mbpp", "tydiqa")

SUITES: Mapping[str, tuple[str, ...]] = {
    "rho1_math9": tuple(f"rho1_{task}_cot" for task in _MATH9),
    "rho1_tir7": tuple(f"rho1_{task}_tir" for task in _TIR7),
    "rho1_general15": tuple(f"rho1_{task}" for task in (*_GENERAL13, "gsm8k_cot", "math500_cot")),
    "mini_math9": tuple(f"mini_{task}" for task in _MATH9),
    "mini_tir7": tuple(f"mini_{task}_tir" for task in _TIR7),
    "mini_general15": tuple(f"mini_{task}" for task in (*_GENERAL13, "gsm8k", "math500")),
}
"""The suites that are more than an lm-eval group, or that must not depend on reading YAML."""

SHORT_NAMES: Mapping[str, tuple[str, ...]] = {
    "math": ("rho1_math9",),
    "tir": ("rho1_tir7",),
    "general": ("rho1_general15",),
    "all": ("rho1_math9", "rho1_tir7", "rho1_general15"),
}
"""What ``rho1bench eval --suite`` calls the suites of the paper's tables."""


_NAMED = re.compile(r"""^(?:task|group):[ \t]+["']?([\w.-]+)["']?[ \t]*$""", re.MULTILINE)


@dataclass(frozen=True)
class Suite:
    """A named list of tasks whose plain mean is the suite's average."""

    name: str
    tasks: tuple[str, ...]


def find_suites(names: Sequence[str], groups: Mapping[str, Sequence[str]], tasks: Iterable[str]) -> list[Suite]:
    """Return the suites called ``names``: ours, lm-eval groups, or single tasks.

    Raises:
        RunError: a name is none of these; the nearest known name is offered.
    """
    known_tasks = set(tasks)
    found = []
    for name in dict.fromkeys(names):
        if name in SUITES:
            found.append(Suite(name, SUITES[name]))
        elif name in groups:
            found.append(Suite(name, tuple(groups[name])))
        elif name in known_tasks:
            found.append(Suite(name, (name,)))
        else:
            known = sorted({*SHORT_NAMES, *SUITES, *groups, *known_tasks})
            near = difflib.get_close_matches(name, known)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else f" Known suites: {', '.join(SUITES)}."
            raise RunError(f"{name!r}: no such evaluation suite, lm-eval group or task.{hint}")
    return found


def suites_called(names: Sequence[str]) -> list[str]:
    """Return the names of suites, groups and tasks that the words of ``--suite`` stand for."""
    return list(dict.fromkeys(full for name in names for full in SHORT_NAMES.get(name, (name,))))


@cache
def shipped_names() -> frozenset[str]:
    """Return every name that :func:`find_suites` finds among what ships; lm-eval is not asked, which takes seconds."""
    return frozenset(SUITES).union(yaml_names(tasks_dir()))


def yaml_names(folder: Path) -> dict[str, Path]:
    """Return the tasks and groups that the YAMLs of a folder name, each with its file; lm-eval is not asked."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.yaml")):
        for name in _NAMED.findall(path.read_text(encoding="utf-8", errors="replace")):
            found.setdefault(name, path)
    return found


def lm_eval_file(name: str) -> Path | None:
    """Return the YAML of lm-eval's own task or group ``name``; None where it has none.

    lm-eval itself is not asked: it would parse all of its 14,000 files first.
    """
    return _lm_eval_names().get(name)


@cache
def _lm_eval_names() -> dict[str, Path]:
    spec = find_spec("lm_eval")
    places = spec.submodule_search_locations if spec is not None else None
    return yaml_names(Path(places[0]) / "tasks") if places else {}


def suite_averages(suites: Iterable[Suite], scores: Mapping[str, float]) -> dict[str, dict[str, object]]:
    """Return ``{suite: {"tasks", "average"}}`` for the suites whose tasks all have scores."""
    return {
        suite.name: {"tasks": list(suite.tasks), "average": sum(scores[t] for t in suite.tasks) / len(suite.tasks)}
        for suite in suites
        if all(task in scores for task in suite.tasks)
    }


def split_work(suites: Sequence[Suite]) -> list[tuple[str, tuple[str, ...]]]:
    """Return the units of one checkpoint, ``(suite, tasks)``: every task in the first suite that names it."""
    seen: set[str] = set()
    units = []
    for suite in suites:
        fresh = tuple(task for task in suite.tasks if task not in seen)
        seen.update(fresh)
        if fresh:
            units.append((suite.name, fresh))
    return units
