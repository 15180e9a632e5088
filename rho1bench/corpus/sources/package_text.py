"""Docstrings and source files of installed Python packages: real text that anyone can have who can install them.

Documentation stands between the code that it documents as useful text stands on a web page: docstrings alone are
curated text, whole files are the noisy corpus around such text (paper section 3.1).
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import inspect
import warnings
from collections.abc import Iterator
from itertools import accumulate, islice
from pathlib import Path

from rho1bench.corpus.sources.documents import TEXT_KIND, Document, Item, plain_document
from rho1bench.corpus.sources.local_rows import BadRow, Position
from rho1bench.errors import DataError, MissingPackageError
from rho1bench.recipe import PackageSource

CODE_KIND = "code"
SHORTEST_DOCSTRING = 200
"""Characters; what is shorter says little more than its function's name."""
_HASH_RANGE = 2**64
_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class PackageRows:
    """The documents of one source, file by file; a file that cannot be read as Python, or is too long, is a bad row.

    ``position`` is where a later reader resumes. Raises MissingPackageError for a package that is not installed,
    DataError for one without Python files.
    """

    def __init__(self, source: PackageSource, max_bytes: int | None, position: Position | None) -> None:
        self._source, self._max_bytes = source, max_bytes
        self._files = _files(source)
        self._items = int(position["item"]) if position else 0

    def position(self) -> Position:
        """Return the place after the last item given out, as JSON."""
        return {"item": self._items}

    def __iter__(self) -> Iterator[Item]:
        every = (item for path in self._files for item in self._read(path))
        for item in islice(every, self._items, None):
            self._items += 1
            yield item

    def _read(self, path: Path) -> Iterator[Item]:
        try:
            text = path.read_text(encoding="utf-8")
            tree = _parsed(text)
        except (OSError, ValueError, SyntaxError, RecursionError) as error:
            yield BadRow("not_python", str(path), f"cannot be read as Python: {error}.")
            return
        size = len(text.encode("utf-8"))
        if self._max_bytes is not None and size > self._max_bytes:
            yield BadRow("too_long", str(path), f"a file of {size} bytes; max_line_bytes: {self._max_bytes}.")
        elif self._source.text == "docstrings":
            yield from _docstrings(tree)
        elif text.strip():
            yield _marked(text, tree)


def _files(source: PackageSource) -> list[Path]:
    """Return the Python files of the packages that fall into the source's share, in the order of their hashes."""
    found: dict[str, Path] = {}
    for name in source.packages:
        try:
            listed = importlib.metadata.distribution(name).files or []
        except importlib.metadata.PackageNotFoundError as error:
            raise MissingPackageError(name, "a source of type 'package'", f"pip install {name}") from error
        own = {str(file): Path(str(file.locate())) for file in listed if file.suffix == ".py"}
        if not own:
            raise DataError(
                f"the package {name!r} lists no Python file that could be read; name another in `packages`."
            )
        found |= own
    places = {name: _place(name) for name in found}
    chosen = [name for name in found if source.files_from <= places[name] < source.files_to]
    return [found[name] for name in sorted(chosen, key=lambda name: (places[name], name))]


def _place(name: str) -> float:
    """Return a number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8")).digest()[:8], "big") / _HASH_RANGE


def _parsed(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other people's escape sequences
        return ast.parse(text)


def _docstrings(tree: ast.Module) -> Iterator[Document]:
    for constant in _constants(tree):
        text = inspect.cleandoc(str(constant.value))
        if len(text) >= SHORTEST_DOCSTRING:
            yield plain_document(text)


def _marked(text: str, tree: ast.Module) -> Document:
    """Return a file as a document that tells its docstrings from its code."""
    lines = text.split("\n")
    starts = list(accumulate((len(line) + 1 for line in lines), initial=0))

    def place(line: int, column: int) -> int:
        """Return the character at a line, counted from 1, and a column in bytes."""
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    spans: list[tuple[int, int, str]] = []
    end = 0
    for constant in sorted(_constants(tree), key=lambda one: (one.lineno, one.col_offset)):
        assert constant.end_lineno is not None
        assert constant.end_col_offset is not None
        first = place(constant.lineno, constant.col_offset)
        last = place(constant.end_lineno, constant.end_col_offset)
        spans += [(end, first, CODE_KIND)] if first > end else []
        spans.append((first, last, TEXT_KIND))
        end = last
    if end < len(text):
        spans.append((end, len(text), CODE_KIND))
    return Document(text, tuple(spans))


def _constants(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield the docstrings of a module, its classes and its functions, as they stand in the file."""
    for node in ast.walk(tree):
        if isinstance(node, _Documented) and ast.get_docstring(node, clean=False) is not None:
            statement = node.body[0]
            assert isinstance(statement, ast.Expr)
            assert isinstance(statement.value, ast.Constant)
            yield statement.value
