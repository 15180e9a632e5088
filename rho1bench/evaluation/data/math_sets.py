"""The ten math test sets and four exemplar files of the paper: where each comes from, pinned by commit, hash and rows.

Read by ``data.pinned_files``, which finds, checks and downloads them. Paper section 3.2; the files are those of the
authors' harness, except TabMWP's, whose 1,000-row test file comes from that data set's own repository.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Repository:
    """A public GitHub repository at a fixed commit, and the licence of its files."""

    name: str
    commit: str
    licence: str


HARNESS = Repository("ZubinGou/math-evaluation-harness", "db77bc6bb2a17c90ed2d63e88ebd8c40a82858c5", "MIT")
TABLES = Repository("lupantech/PromptPG", "7cf61b1bec07222fc24b4f5a1410911f77c2d2c9", "MIT; data CC BY-NC-SA 4.0")


def unchanged(data: bytes) -> bytes:
    """Return ``data``: most public files are used as they are."""
    return data


def problems_to_lines(data: bytes) -> bytes:
    """Turn TabMWP's one JSON object, problem by key, into JSON lines in file order with the key as ``idx``."""
    problems = json.loads(data)
    lines = (json.dumps({"idx": key, **problem}, ensure_ascii=False) + "\n" for key, problem in problems.items())
    return "".join(lines).encode("utf-8")


@dataclass(frozen=True)
class PinnedFile:
    """One file of a data folder: its ``place`` there and hash, and the public file that it is made from."""

    place: str
    sha256: str
    repository: Repository
    path: str
    """Path in the repository."""
    download_sha256: str = ""
    """Hash of the public file, where it is not ``sha256``."""
    convert: Callable[[bytes], bytes] = unchanged

    @property
    def source(self) -> str:
        """Repository, commit and path, for people."""
        return f"{self.repository.name}@{self.repository.commit[:7]} {self.path}"

    @property
    def url_path(self) -> str:
        """Path of the public file below the server of raw files."""
        return f"{self.repository.name}/{self.repository.commit}/{self.path}"


@dataclass(frozen=True)
class MathSet:
    """One test set: its number of rows, the keys that a prompt or a gold answer needs of each row, and its file."""

    name: str
    num_rows: int
    keys: tuple[str, ...]
    file: PinnedFile


def _from_harness(name: str, num_rows: int, keys: str, sha256: str, folder: str | None = None) -> MathSet:
    file = PinnedFile(f"math/{name}/test.jsonl", sha256, HARNESS, f"data/{folder or name}/test.jsonl")
    return MathSet(name, num_rows, tuple(keys.split()), file)


_TABMWP = PinnedFile(
    "math/tabmwp/test.jsonl",
    "bc931aad3ae52e494a4edfb85a7ca2acbfa49f92015f470c3a83ae41c5610e44",
    TABLES,
    "data/tabmwp/problems_test1k.json",
    "bf34a84d359c48ba8f401c49f65363858a8a63530921d319b175550e1f352f69",
    problems_to_lines,
)

_SETS = (
    _from_harness(
        "gsm8k",
        1319,
        "question answer",
        "9f098df7ff4522078d6ccec27a5c38a454790fdb51131bedfaa0e490070d5394",
    ),
    _from_harness(
        "math",
        500,
        "problem solution answer",
        "35dc41080a3680858b27fa7e0533d2d547825316fc5dafe5d316f4ccc5a06132",
        folder="math_oai",
    ),
    _from_harness(
        "svamp",
        1000,
        "Body Question Answer",
        "d0826ff1264f3860e46fc4e71db9e31d2d188960db87090e22677f9493e67a0d",
    ),
    _from_harness(
        "asdiv",
        2215,
        "body question answer",
        "5759580385e706f961a30d4c07d6925b35c3f7c86d6c50bc413957169693dad2",
    ),
    _from_harness(
        "mawps",
        2065,
        "input target",
        "00ffe31161be8623a3d36741830edbba87a3aee0109f693810fe40b9d5d91b8b",
    ),
    MathSet("tabmwp", 1000, ("question", "choices", "answer", "unit", "table_title", "table", "ans_type"), _TABMWP),
    _from_harness(
        "mathqa",
        1000,
        "problem options correct",
        "136de4608366708d01d4c38890437e722c9209e9a66ef5d119cb01f6f88dfec6",
    ),
    _from_harness(
        "mmlu_stem",
        3018,
        "question choices answer",
        "fd7c16f96067d285638abb5aaef9cd8a063b11454e14cb64df93141a58691478",
    ),
    _from_harness(
        "sat_math",
        32,
        "question options Answer",
        "96720a1dc496ea72f80db55250290cf9c48e95b657ac2183b7deb1dc4627351f",
    ),
    _from_harness(
        "gsm_hard",
        1319,
        "input target",
        "45db606263a4902580aba3974e8b7fb3f66012877889209af206b1c1b2f208f5",
    ),
)

MATH_SETS = {math_set.name: math_set for math_set in _SETS}
"""The test sets by the paper's data-set names."""


def _exemplar_file(name: str, sha256: str) -> PinnedFile:
    place = f"prompts/cot/{name}.md"
    return PinnedFile(place, sha256, HARNESS, place)


EXEMPLAR_FILES = {
    "gsm8k": _exemplar_file("gsm8k", "f7b267f942be471e4ea8013cdba4c4df3cad1f969774c073e9165c568043a7b8"),
    "minerva_math": _exemplar_file("minerva_math", "6637ad6e3ece303c059196bebdc3607ab9f617f4a57f73ac44afeb7f4320c829"),
    "mathqa": _exemplar_file("mathqa", "ba599b1fda1932b423e368b6a43643a10763cec1753dcdaca51375fdcd33c0cb"),
    "mmlu_stem": _exemplar_file("mmlu_stem", "c5e61e1f80bbf4b08d60db5abaa55dcdc1a211093ce33e2a591ae9647bf8907a"),
}
"""The exemplar files by name; ``tasks.prompts`` says which data set takes which."""
