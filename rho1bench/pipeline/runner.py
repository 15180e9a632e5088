"""Carries out a recipe: stages in order, each skipped, resumed or run anew by its fingerprint.

The runner knows nothing of what a stage does. Its model says in ``spec`` which function carries it out; that function
is imported only when the stage has to run, and is handed a :class:`StageContext`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from rho1bench.errors import RunError
from rho1bench.pipeline import stopping
from rho1bench.pipeline.adoption import Keeping, Place, settle
from rho1bench.pipeline.decision import Decision, decide
from rho1bench.pipeline.fingerprint import Fingerprint, stage_fingerprint
from rho1bench.pipeline.folder_lock import run_lock
from rho1bench.pipeline.inputs import InputChecks
from rho1bench.pipeline.launch import Launch, num_gpus
from rho1bench.pipeline.manifest import Attempt
from rho1bench.pipeline.publishing import StageOutcome, publish, withdraw
from rho1bench.pipeline.set_aside import set_aside
from rho1bench.pipeline.stage import RunOptions, StageContext
from rho1bench.pipeline.stage_children import Children, clear_launch, run_all
from rho1bench.recipe import Recipe, StageBase, references
from rho1bench.recipe.loading.yaml_text import NOT_YAML, dump_yaml, parse_yaml
from rho1bench.recipe.texts import stages_read
from rho1bench.system.disk_errors import disk_errors
from rho1bench.system.files import remove_temporaries, write_text
from rho1bench.system.packages import load, missing_packages
from rho1bench.system.progress import Board, Progress

CHECK_NODES = "rho1bench.modeling.launch_check:run"
SUMMARISE_SEEDS = "rho1bench.comparison.seeds:summarise"


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
    recipe: Recipe,
    output: Path,
    options: RunOptions | None = None,
    console: Console | None = None,
    keeping: Keeping | None = None,
    launch: Launch | None = None,
) -> RunResult:
    """Carry out ``recipe`` in the folder ``output``; does only what is not done yet, and deletes no result.

    ``launch`` says in how many processes stages run that work in ranks; default: in one. Raises ``RunError`` if
    another run holds the folder, it belongs to another recipe, it cannot be written or its disk is full, if results are
    there of other versions of packages, or one that is to be adopted does not fit; ``Stopped`` if a signal asked for
    it; stages raise their own ``UserError``.
    """
    console = console or Console(stderr=True)
    launch, keeping = launch or Launch(), keeping or Keeping()
    options = replace(options or RunOptions(), gpus_per_node=launch.gpus_per_node)
    with disk_errors(output, refused_too=(errno.ENOENT,)):  # /proc and its like
        output.mkdir(parents=True, exist_ok=True)
    with disk_errors(output), run_lock(output):
        before = _recipe_before(recipe, output)
        _settle(recipe, output, keeping, console)
        is_new = _claim(recipe, output, before)
        if recipe.seeds:
            return _run_seeds(recipe, output, options, console, is_new, launch)
        with Children(launch) as children:
            _check_nodes(recipe, output, options, console, children)
            return _run_stages(recipe, output, options, console, children)


def _check_nodes(recipe: Recipe, output: Path, options: RunOptions, console: Console, children: Children) -> None:
    """Start all ranks once if nodes other than this one have work to do, before the stages ahead of them run."""
    if children.launch.nodes == 1:
        return
    waiting = (stage for stage, decision in preview(recipe, output) if decision.action != "skip")
    stage = next(filter(children.launch.starts_ranks, waiting), None)
    if stage is None:
        return
    context = _context(recipe, stage, output, options, Progress("nodes", board=Board(console)))
    with TemporaryDirectory(prefix=".nodes-", dir=output) as folder:
        check = partial(children.run_stage, replace(context, folder=Path(folder)), CHECK_NODES)
        run_all([check], children, 1)


def preview(recipe: Recipe, output: Path) -> Iterator[tuple[StageBase, Decision]]:
    """Yield what :func:`run_recipe` would do with each stage; reads the folder and writes nothing."""
    for stage, fingerprint in _fingerprints(recipe):
        folder = stage_folder(output, stage.name)
        yield stage, decide(folder, fingerprint, takes_files=stage.spec.takes_files)


def runs_of(recipe: Recipe, output: Path) -> list[tuple[Recipe, Path]]:
    """Return the runs of a recipe, one a seed where it has several, with their folders."""
    return [one_seed(recipe, output, seed) for seed in recipe.seeds] or [(recipe, output)]


def stage_folder(output: Path, name: str) -> Path:
    """Return the folder of a stage inside a run folder."""
    return output / "stages" / name


def one_seed(recipe: Recipe, output: Path, seed: int) -> tuple[Recipe, Path]:
    """Return the recipe of one of the ``seeds``, and its folder inside the run folder."""
    return recipe.model_copy(update={"seed": seed, "seeds": []}), output / f"seed-{seed}"


def _settle(recipe: Recipe, output: Path, keeping: Keeping, console: Console) -> None:
    """Take in what is to be adopted, and ask about what other versions of packages have made."""
    places = [
        Place(f"{folder.name}/{stage.name}" if recipe.seeds else stage.name, stage, fingerprint, folder)
        for one, folder in runs_of(recipe, output)
        for stage, fingerprint in _fingerprints(one)
    ]
    for run in settle(places, keeping, lambda line: _say(console, line)):
        withdraw(output)
        withdraw(run)


def _run_seeds(
    recipe: Recipe, output: Path, options: RunOptions, console: Console, is_new: bool, launch: Launch
) -> RunResult:
    result = RunResult(output)
    for seed in recipe.seeds:
        one, folder = one_seed(recipe, output, seed)
        console.print(f"seed {seed}", style="bold")
        if any(decision.action != "skip" for _, decision in preview(one, folder)):
            withdraw(output)
        asked = Keeping(accept_versions=True)  # about all seeds, before
        done = run_recipe(one, folder, options, console, asked, launch)
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
    """One stage that has to run; ``title`` is its number and name."""

    title: str
    context: StageContext
    decision: Decision
    fingerprint: Fingerprint


def _run_stages(recipe: Recipe, output: Path, options: RunOptions, console: Console, children: Children) -> RunResult:
    result = RunResult(output)
    fingerprints: dict[str, Fingerprint] = {}
    checks = InputChecks(recipe, output / "stages")
    names = [stage.name for stage in recipe.stages]
    for group in groups(recipe):
        stopping.stop_if_asked()
        jobs: list[_Job] = []
        board = Board(console)
        for stage in group:
            fingerprint = fingerprints[stage.name] = _fingerprint(recipe, stage, fingerprints)
            folder = stage_folder(output, stage.name)
            decision = decide(folder, fingerprint, takes_files=stage.spec.takes_files)
            result.stages.append(StageOutcome(stage.name, stage.kind, decision.action, decision.seconds))
            if decision.action != "skip":
                number = names.index(stage.name) + 1
                title = f"[{number}/{len(names)}] {stage.name}"
                context = _context(recipe, stage, output, options, Progress(stage.name, board=board))
                jobs.append(_Job(title, context, decision, fingerprint))
        if jobs:
            for job in jobs:
                _refuse_link(job)
                checks.check(job.context.stage)
            withdraw(output)
            seconds = _run_jobs(jobs, recipe.jobs, children)
            checks.made(seconds)
            result.stages = [
                replace(outcome, seconds=seconds.get(outcome.name, outcome.seconds)) for outcome in result.stages
            ]
    publish(output, result.stages)
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
    """Run one stage here, or in processes of their own several side by side, ranks, and what would stay on a GPU.

    Returns the seconds of each stage by name.
    """
    if len(jobs) == 1 and not (children.launch.starts_ranks(jobs[0].context.stage) or _fills_a_gpu(jobs[0])):
        seconds = [_run_stage(jobs[0], lambda context, target: load(target)(context))]
    else:
        seconds = run_all([partial(_run_stage, job, children.run_stage) for job in jobs], children, at_a_time)
    return {job.context.stage.name: taken for job, taken in zip(jobs, seconds, strict=True)}


def _fills_a_gpu(job: _Job) -> bool:
    """Tell whether a stage takes memory of a GPU that only the end of its process gives back to the next stage."""
    return "torch" in job.context.stage.spec.packages and num_gpus() > 0


def _run_stage(job: _Job, call: Callable[[StageContext, str], None]) -> float:
    """Run one stage to its end and return the seconds of all attempts at it."""
    context, stage = job.context, job.context.stage
    old = set_aside(context.folder).name if job.decision.set_aside else None
    _say(context.progress.console, f"{job.title}: {_word(job.decision, old)}")
    context.folder.mkdir(parents=True, exist_ok=True)
    remove_temporaries(context.folder)
    clear_launch(context.folder)
    attempt = Attempt(context.folder, job.fingerprint)
    try:
        with attempt.running(), missing_packages(f"the stage {stage.name!r}"):
            call(context, stage.spec.entry)
    finally:
        context.progress.close()
    manifest = attempt.finish(stage.name, stage.kind)
    context.progress.message(f"done in {manifest.seconds:.1f} s")
    return manifest.seconds


def _recipe_before(recipe: Recipe, output: Path) -> str | None:
    """Return the recipe of an earlier run in the folder; refuses one with another name."""
    remove_temporaries(output, deep=False)
    path = output / "recipe.yaml"
    before = path.read_text(encoding="utf-8") if path.exists() else None
    owner = _recipe_name(before)
    if owner not in (None, recipe.name):
        raise RunError(
            f"the run folder {output} holds a run of the recipe {owner!r}, and this one is {recipe.name!r}. "
            "Give another folder with --output, or remove that one."
        )
    return before


def _claim(recipe: Recipe, output: Path, before: str | None) -> bool:
    """Write the resolved recipe to the run folder and tell whether it is another than before."""
    text = dump_yaml(recipe.model_dump(mode="json"))
    if before != text:
        write_text(output / "recipe.yaml", text)
    return before != text


def _recipe_name(text: str | None) -> Any:
    try:
        data = parse_yaml(text or "")
    except NOT_YAML:
        return None
    return data.get("name") if isinstance(data, dict) else None


def _fingerprints(recipe: Recipe) -> Iterator[tuple[StageBase, Fingerprint]]:
    """Yield the stages in order, each with what its result depends on."""
    known: dict[str, Fingerprint] = {}
    for stage in recipe.stages:
        known[stage.name] = _fingerprint(recipe, stage, known)
        yield stage, known[stage.name]


def _fingerprint(recipe: Recipe, stage: StageBase, known: Mapping[str, Fingerprint]) -> Fingerprint:
    read = known if stage.spec.reads_all else stages_read(stage)
    return stage_fingerprint(stage, recipe.seed_of(stage), {name: known[name] for name in read})


def _word(decision: Decision, old: str | None) -> str:
    if old is not None:
        return f"starting over ({decision.reason}; what was there is kept as {old})"
    return f"{'resuming' if decision.action == 'resume' else 'starting'} ({decision.reason})"


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
