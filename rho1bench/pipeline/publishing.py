"""What stages leave in ``publish/`` stands at the top of the run folder: the report's pages and ``summary.json``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rho1bench.pipeline.manifest import read_manifest
from rho1bench.system.files import atomic_path, read_json, write_json


@dataclass(frozen=True)
class StageOutcome:
    """What became of one stage; ``seconds`` counts all attempts at it, in whatever run they were."""

    name: str
    kind: str
    action: str
    seconds: float


def withdraw(output: Path) -> None:
    """Take back the results of an earlier run before a stage changes: they would tell of another run."""
    for name in ("summary.json", "report.html", "report.md", "answers.html", "atlas.html"):
        (output / name).unlink(missing_ok=True)


def publish(output: Path, stages: Iterable[StageOutcome]) -> None:
    """Copy what stages left in ``publish/`` to the top of the run folder; put the final seconds into the summary."""
    outcomes = list(stages)
    for stage in outcomes:
        source = output / "stages" / stage.name / "publish"
        for path in sorted(source.rglob("*")):
            if path.is_file() and path != source / "summary.json":
                _copy(path, output / path.relative_to(source))
        if (source / "summary.json").is_file():
            _publish_summary(source / "summary.json", output, outcomes)


def _publish_summary(path: Path, output: Path, stages: list[StageOutcome]) -> None:
    summary = read_json(path)
    summary["stages"] = {
        stage.name: {"kind": stage.kind, "seconds": stage.seconds, "attempts": _attempts(output, stage.name)}
        for stage in stages
    }
    target = output / "summary.json"
    if not target.exists() or read_json(target) != summary:
        write_json(target, summary)


def _attempts(output: Path, name: str) -> int:
    manifest = read_manifest(output / "stages" / name)
    return manifest.attempts if manifest else 0


def _copy(source: Path, target: Path) -> None:
    data = source.read_bytes()
    if target.is_file() and target.read_bytes() == data:
        return
    with atomic_path(target) as temporary:
        temporary.write_bytes(data)
        os.chmod(temporary, 0o644)
