"""The code that carries out a stage: every file of the package that its entry function can reach.

Read from the sources without importing anything: the imports of a module (those inside functions too), the modules
that it names as text (``"rho1bench.grading.worker"``, for a process of its own), the packages above them, what shipped
folders name (``!function rho1bench....`` in lm-eval's YAML), and the files that lie beside them (templates, rows).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from rho1bench.system.paths import PACKAGE, shipped

_NAME = PACKAGE.name
_DOTTED = re.compile(rf"\b{_NAME}(?:\.[A-Za-z_]\w*)+")
_QUOTED_MODULE = re.compile(rf"""["']({_NAME}(?:\.[A-Za-z_]\w*)+(?::\w+)?)["']""")


def code_files(entry: str, shipped_folders: Sequence[str] = ()) -> list[Path]:
    """Return the files that ``entry`` (``"module:function"``) can reach, and those of shipped folders, in order."""
    files = {path for name in shipped_folders for path in _files_of(shipped(name))}
    waiting = [entry.partition(":")[0], *(name for path in files for name in _named_in(path))]
    modules: set[Path] = set()
    while waiting:
        for path in _module_files(waiting.pop()):
            if path not in modules:
                modules.add(path)
                waiting += _reached_from(path)
    for folder in {path.parent for path in modules} - {PACKAGE}:
        files.update(_data_files(folder))
    return sorted(files | modules)


def _module_files(dotted: str) -> tuple[Path, ...]:
    """Return the file of a module (or of the one that holds the name) and of the packages above; none from outside."""
    return _files_on_the_way(PACKAGE, tuple(dotted.split(".")))


@cache
def _files_on_the_way(package: Path, parts: tuple[str, ...]) -> tuple[Path, ...]:
    if parts[0] != _NAME:
        return ()
    files, here = [package / "__init__.py"], package
    for part in parts[1:]:
        if (here / part / "__init__.py").is_file():
            here = here / part
            files.append(here / "__init__.py")
        else:
            files += [path for path in [here / f"{part}.py"] if path.is_file()]
            break
    return tuple(files)


@cache
def _reached_from(path: Path) -> tuple[str, ...]:
    """Return the dotted names of the package that a module imports or names as text."""
    text = path.read_text(encoding="utf-8")
    found = [
        match[1].partition(":")[0]
        for match in _QUOTED_MODULE.finditer(text)
        if not text[: match.start()].rstrip().endswith("StageSpec(")  # the entry points of other stages
    ]
    package = [_NAME, *path.relative_to(PACKAGE).parent.parts]
    for node in _imports(ast.parse(text).body):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        else:
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(dict.fromkeys(name for name in found if name.partition(".")[0] == _NAME))


def _imports(statements: Sequence[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports among statements and inside them, but for those that types alone need."""
    for statement in statements:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield statement
        elif (
            isinstance(statement, ast.If)
            and isinstance(statement.test, ast.Name)
            and (statement.test.id == "TYPE_CHECKING")
        ):
            yield from _imports(statement.orelse)
        else:
            for part in ("body", "orelse", "finalbody"):
                yield from _imports(getattr(statement, part, ()))
            for branch in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
                yield from _imports(branch.body)


def _named_in(path: Path) -> list[str]:
    """Return the dotted names of the package in a shipped text file."""
    try:
        return _DOTTED.findall(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        return []


def _data_files(folder: Path) -> Iterator[Path]:
    """Yield the files beside the modules of a folder, and those of its subfolders that hold no modules."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix != ".py":
            yield path
        elif path.is_dir() and path.name != "__pycache__" and not any(path.rglob("*.py")):
            yield from _files_of(path)


def _files_of(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
