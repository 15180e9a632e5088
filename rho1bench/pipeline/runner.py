"""Carries out a recipe: stages in order, each skipped, resumed or run anew by its fingerprint.

The runner knows nothing of what a stage does. Its model says in ``spec`` which function carries it out; that function
is imported only when the stage has to run, and is handed a :class:`StageContext`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from rho1bench.errors import RunError
from rho1bench.pipeline.fingerprint import stage_fingerprint
from rho1bench.pipeline.folder_lock import run_lock
from rho1bench.pipeline.inputs import InputChecks
from rho1bench.pipeline.manifest import Attempt, Decision, decide, read_manifest, wipe
from rho1bench.pipeline.stage import RunOptions, StageContext
from rho1bench.pipeline.stage_children import Children, run_all
from rho1bench.recipe import Recipe, StageBase, references
from rho1bench.recipe.loading.yaml_text import dump_yaml, parse_yaml
from rho1bench.system.disk_errors import disk_errors
from rho1bench.system.files import atomic_path, read_json, remove_temporaries, write_json, write_text
from rho1bench.system.packages import load, missing_packages
from rho1bench.system.progress import Board, Progress

SUMMARISE_SEEDS = "rho1bench.comparison.seeds:summarise"


@dataclass(frozen=True)
class StageOutcome:
    """What became of one stage; ``seconds`` counts all attempts at it, in whatever run they were."""

    name: str
    kind: str
    action: str
    seconds: float


@dataclass
class RunResult:
    """A finished run."""

    folder: Path
    stages: list[StageOutcome] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """True if any stage had to run."""
        return any(stage.action != "skip" for stage in self.stages)


def run_recipe(
    recipe: Recipe, output: Path, options: RunOptions | None = None, console: Console | None = None
) -> RunResult:
    """Carry out ``recipe`` in the folder ``output``; does only what is not done yet.

    Raises ``RunError`` if another run holds the folder, it belongs to another recipe, it cannot be written or its disk
    is full; stages raise their own ``UserError``.
    """
    console = console or Console(stderr=True)
    options = options or RunOptions()
    with disk_errors(output, refused_too=(errno.ENOENT,)):  # /proc and its like
        output.mkdir(parents=True, exist_ok=True)
    with disk_errors(output), run_lock(output):
        is_new = _claim(recipe, output)
        if recipe.seeds:
            return _run_seeds(recipe, output, options, console, is_new)
        with Children() as children:
            return _run_stages(recipe, output, options, console, children)


def preview(recipe: Recipe, output: Path) -> Iterator[tuple[StageBase, Decision]]:
    """Yield what :func:`run_recipe` would do with each stage; reads the folder and writes nothing."""
    fingerprints: dict[str, str] = {}
    for stage in recipe.stages:
        inputs = _input_fingerprints(stage, fingerprints)
        fingerprints[stage.name] = stage_fingerprint(stage, recipe.seed_of(stage), inputs)
        yield stage, decide(stage_folder(output, stage.name), fingerprints[stage.name])


def stage_folder(output: Path, name: str) -> Path:
    """Return the folder of a stage inside a run folder."""
    return output / "stages" / name


def one_seed(recipe: Recipe, output: Path, seed: int) -> tuple[Recipe, Path]:
    """Return the recipe of one of the ``seeds``, and its folder inside the run folder."""
    return recipe.model_copy(update={"seed": seed, "seeds": []}), output / f"seed-{seed}"


def _run_seeds(recipe: Recipe, output: Path, options: RunOptions, console: Console, is_new: bool) -> RunResult:
    result = RunResult(output)
    for seed in recipe.seeds:
        one, folder = one_seed(recipe, output, seed)
        console.print(f"seed {seed}", style="bold")
        if any(decision.action != "skip" for _, decision in preview(one, folder)):
            _withdraw(output)
        done = run_recipe(one, folder, options, console)
        result.stages += [replace(stage, name=f"seed-{seed}/{stage.name}") for stage in done.stages]
    if result.changed or is_new or not (output / "summary.json").exists():
        load(SUMMARISE_SEEDS)(output, list(recipe.seeds), list(recipe.tuning_seeds))
    return result


def groups(recipe: Recipe) -> Iterator[list[StageBase]]:
    """Yield the stages in order; neighbours that may run side by side in one group, ``recipe.jobs`` of it at a time."""
    group: list[StageBase] = []
    for stage in recipe.stages:
        named = {name for _, name, _ in references(stage)}
        fits = recipe.jobs > 1 and not any(member.name in named for member in group)
        if group and not (fits and all(member.spec.parallel_safe for member in (*group, stage))):
            yield group
            group = []
        group.append(stage)
    yield group


@dataclass
class _Job:
    """One stage that has to run; ``title`` says so to the user."""

    title: str
    context: StageContext
    decision: Decision
    fingerprint: str
    inputs: dict[str, str]


def _run_stages(recipe: Recipe, output: Path, options: RunOptions, console: Console, children: Children) -> RunResult:
    result = RunResult(output)
    fingerprints: dict[str, str] = {}
    checks = InputChecks(recipe, output / "stages")
    names = [stage.name for stage in recipe.stages]
    for group in groups(recipe):
        jobs: list[_Job] = []
        board = Board(console)
        for stage in group:
            inputs = _input_fingerprints(stage, fingerprints)
            fingerprint = fingerprints[stage.name] = stage_fingerprint(stage, recipe.seed_of(stage), inputs)
            decision = decide(stage_folder(output, stage.name), fingerprint)
            result.stages.append(StageOutcome(stage.name, stage.kind, decision.action, decision.seconds))
            if decision.action != "skip":
                number = names.index(stage.name) + 1
                title = f"[{number}/{len(names)}] {stage.name}: {_word(decision)}"
                context = _context(recipe, stage, output, options, Progress(stage.name, board=board))
                jobs.append(_Job(title, context, decision, fingerprint, inputs))
        if jobs:
            for job in jobs:
                _refuse_link(job)
                checks.check(job.context.stage)
            _withdraw(output)
            seconds = _run_jobs(jobs, recipe.jobs, children)
            checks.made(seconds)
            result.stages = [
                replace(outcome, seconds=seconds.get(outcome.name, outcome.seconds)) for outcome in result.stages
            ]
    _publish(output, result)
    return result


def _context(recipe: Recipe, stage: StageBase, output: Path, options: RunOptions, progress: Progress) -> StageContext:
    earlier = recipe.stages[: [other.name for other in recipe.stages].index(stage.name)]
    return StageContext(
        recipe=recipe,
        stage=stage,
        folder=stage_folder(output, stage.name),
        inputs={other.name: stage_folder(output, other.name) for other in earlier},
        seed=recipe.seed_of(stage),
        progress=progress,
        options=options,
    )


def _refuse_link(job: _Job) -> None:
    """Raise RunError if the folder of a stage that has to run leads elsewhere, perhaps to what others own."""
    folder = job.context.folder
    if folder.is_symlink():
        raise RunError(
            f"{folder}: is a symbolic link to {folder.readlink()}, and the stage has to run ({job.decision.reason}). "
            "What the link leads to is left alone. Remove the link, and the stage is made here; for another disk, link "
            "the whole run folder."
        )


def _run_jobs(jobs: list[_Job], at_a_time: int, children: Children) -> dict[str, float]:
    """Run one stage here, several side by side or in ranks of their own; return the seconds of each by name."""
    if len(jobs) == 1 and jobs[0].context.stage.ranks() is None:
        seconds = [_run_stage(jobs[0], lambda context, target: load(target)(context))]
    else:
        seconds = run_all([partial(_run_stage, job, children.run_stage) for job in jobs], children, at_a_time)
    return {job.context.stage.name: taken for job, taken in zip(jobs, seconds, strict=True)}


def _run_stage(job: _Job, call: Callable[[StageContext, str], None]) -> float:
    """Run one stage to its end and return the seconds of all attempts at it."""
    context, stage = job.context, job.context.stage
    context.progress.console.print(job.title, markup=False, highlight=False, soft_wrap=True)
    if job.decision.wipe:
        wipe(context.folder)
    context.folder.mkdir(parents=True, exist_ok=True)
    remove_temporaries(context.folder)
    attempt = Attempt(context.folder, job.fingerprint)
    try:
        with attempt.running(), missing_packages(f"the stage {stage.name!r}"):
            call(context, stage.spec.entry)
    finally:
        context.progress.close()
    manifest = attempt.finish(stage.name, stage.kind, job.inputs)
    context.progress.message(f"done in {manifest.seconds:.1f} s")
    return manifest.seconds


def _claim(recipe: Recipe, output: Path) -> bool:
    """Write the resolved recipe to the run folder and tell whether it is another than before.

    Refuses a folder that holds the run of a recipe with another name.
    """
    remove_temporaries(output, deep=False)
    path = output / "recipe.yaml"
    text = dump_yaml(recipe.model_dump(mode="json"))
    before = path.read_text(encoding="utf-8") if path.exists() else None
    if before == text:
        return False
    owner = _recipe_name(before)
    if owner not in (None, recipe.name):
        raise RunError(
            f"the run folder {output} holds a run of the recipe {owner!r}, and this one is {recipe.name!r}. "
            "Give another folder with --output, or remove that one."
        )
    write_text(path, text)
    return True


def _recipe_name(text: str | None) -> Any:
    try:
        data = parse_yaml(text or "")
    except (yaml.YAMLError, ValueError):
        return None
    return data.get("name") if isinstance(data, dict) else None


def _withdraw(output: Path) -> None:
    """Take back the results of an earlier run before a stage changes: they would tell of another run."""
    for name in ("summary.json", "report.html", "report.md"):
        (output / name).unlink(missing_ok=True)


def _publish(output: Path, result: RunResult) -> None:
    """Copy what stages left in ``publish/`` to the top of the run folder; put the final seconds into the summary."""
    for stage in result.stages:
        source = stage_folder(output, stage.name) / "publish"
        for path in sorted(source.rglob("*")):
            if path.is_file() and path != source / "summary.json":
                _copy(path, output / path.relative_to(source))
        if (source / "summary.json").is_file():
            _publish_summary(source / "summary.json", output, result)


def _publish_summary(path: Path, output: Path, result: RunResult) -> None:
    summary = read_json(path)
    summary["stages"] = {
        stage.name: {"kind": stage.kind, "seconds": stage.seconds, "attempts": _attempts(output, stage.name)}
        for stage in result.stages
    }
    target = output / "summary.json"
    if not target.exists() or read_json(target) != summary:
        write_json(target, summary)


def _attempts(output: Path, name: str) -> int:
    manifest = read_manifest(stage_folder(output, name))
    return manifest.attempts if manifest else 0


def _copy(source: Path, target: Path) -> None:
    data = source.read_bytes()
    if target.is_file() and target.read_bytes() == data:
        return
    with atomic_path(target) as temporary:
        temporary.write_bytes(data)
        os.chmod(temporary, 0o644)


def _input_fingerprints(stage: StageBase, fingerprints: Mapping[str, str]) -> dict[str, str]:
    if stage.spec.reads_all:
        return dict(fingerprints)
    return {name: fingerprints[name] for _, name, _ in references(stage)}


def _word(decision: Decision) -> str:
    verb = "resuming" if decision.action == "resume" else "starting over" if decision.wipe else "starting"
    return f"{verb} ({decision.reason})"
