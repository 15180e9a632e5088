"""Stage ``eval``: checkpoints on suites through one engine, unit by unit, resumable (paper sections 3.2 and 3.3).

A unit is one checkpoint with the tasks that one suite adds; a finished unit leaves ``unit_<suite>.json`` beside its
samples and is never run again. When all units of a checkpoint are there, its ``results.json`` is written.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rho1bench.evaluation.checkpoints import Checkpoint, final_checkpoint, trajectory_checkpoints
from rho1bench.evaluation.engines import Engine, EngineSettings, make_engine
from rho1bench.evaluation.harness import Tasks, count_requests, run_unit
from rho1bench.evaluation.records import about_engine, checkpoint_record, sample_rows, unit_record
from rho1bench.evaluation.suites import Suite, find_suites, split_work
from rho1bench.files import read_json, write_json, write_jsonl
from rho1bench.progress import Progress
from rho1bench.recipe import EvalStage
from rho1bench.stage import StageContext


@dataclass
class Job:
    """All work on one checkpoint: suites with their limits, the widest first (None: all documents)."""

    checkpoint: Checkpoint
    limits: dict[str, int | None] = field(default_factory=dict)

    def add(self, suite: str, limit: int | None) -> None:
        """Ask for ``suite``; of two limits the wider one holds."""
        if suite in self.limits and limit is not None:
            known = self.limits[suite]
            limit = known if known is None else max(known, limit)
        self.limits[suite] = limit


@dataclass(frozen=True)
class Unit:
    """The tasks that one suite adds for one checkpoint, and the file that says they are done."""

    suite: str
    tasks: tuple[str, ...]
    limit: int | None
    path: Path


def run(context: StageContext) -> None:
    """Evaluate every checkpoint that the recipe names; raises EngineError, CheckpointError or RunError."""
    stage = context.config(EvalStage)
    tasks = Tasks()
    jobs = plan_jobs(stage, context.inputs)
    names = list(dict.fromkeys(name for job in jobs for name in job.limits))
    suites = {suite.name: suite for suite in find_suites(names, tasks.groups, tasks.names)}
    for job in jobs:
        job.checkpoint.check()
    engine = make_engine(context.options.engine or stage.engine, _settings(context, stage), context.progress.message)
    try:
        Evaluation(context.folder, tasks, suites, engine, context.progress).run(jobs)
    finally:
        engine.close()


def plan_jobs(stage: EvalStage, inputs: Any) -> list[Job]:
    """Return one job a checkpoint, those of one architecture together, so that an engine boots once for each."""
    jobs: dict[str, Job] = {}
    for evaluation in stage.evaluations:
        for name in evaluation.checkpoints:
            folder = Path(inputs[name])
            found = trajectory_checkpoints(name, folder) if evaluation.trajectory else [final_checkpoint(name, folder)]
            for checkpoint in found:
                job = jobs.setdefault(checkpoint.label, Job(checkpoint))
                for suite in evaluation.suites:
                    job.add(suite, evaluation.limit)
    order: dict[str, list[Job]] = {}
    for job in jobs.values():
        config = job.checkpoint.folder / "config.json"
        order.setdefault(job.checkpoint.architecture() if config.exists() else "", []).append(job)
    return [job for group in order.values() for job in group]


def _settings(context: StageContext, stage: EvalStage) -> EngineSettings:
    return EngineSettings(
        max_model_len=stage.max_model_len,
        batch_size=stage.batch_size,
        log=context.folder / "engine.log",
        num_threads=context.options.num_threads,
        seed=context.seed,
    )


@dataclass
class Evaluation:
    """The stage at work."""

    folder: Path
    tasks: Tasks
    suites: dict[str, Suite]
    engine: Engine
    progress: Progress

    def run(self, jobs: Sequence[Job]) -> None:
        """Run all units that are not finished yet."""
        pending = {job.checkpoint.label: [u for u in self.units(job) if not u.path.exists()] for job in jobs}
        total = sum(
            count_requests(self.tasks.load(unit.tasks), unit.limit) for units in pending.values() for unit in units
        )
        self._done, self._began = 0, time.monotonic()
        self.progress.start(total, "requests")
        for number, job in enumerate(jobs, start=1):
            label = job.checkpoint.label
            if pending[label]:
                self.engine.load(job.checkpoint)
            for unit in pending[label]:
                self._run_unit(unit, f"{label} ({number}/{len(jobs)})")
            if not (self.folder / label / "results.json").exists():
                self._write_results(job)
        self.progress.close()

    def units(self, job: Job) -> list[Unit]:
        """Return the job's units; a task that two suites share belongs to the one with the wider limit."""
        names = sorted(job.limits, key=lambda name: -(job.limits[name] or 10**12))
        folder = self.folder / job.checkpoint.label
        return [
            Unit(suite, tasks, job.limits[suite], folder / f"unit_{suite}.json")
            for suite, tasks in split_work([self.suites[name] for name in names])
        ]

    def _run_unit(self, unit: Unit, place: str) -> None:
        began = time.monotonic()

        def tick(finished: int) -> None:
            self._done += finished
            rate = self._done / max(time.monotonic() - self._began, 1e-6)
            self.progress.update(self._done, checkpoint=place, suite=unit.suite, requests_per_second=rate)

        tasks = self.tasks.load(unit.tasks)
        result = run_unit(self.engine, tasks, unit.limit, tick)
        rows = {name: sample_rows(task, name, result) for name, task in tasks.items()}
        for name in tasks:
            write_jsonl(unit.path.parent / f"samples_{name}.jsonl", rows[name])
        self._warn(unit, place, rows)
        write_json(unit.path, unit_record(tasks, result, rows, time.monotonic() - began))

    def _warn(self, unit: Unit, place: str, rows: dict[str, list[dict[str, Any]]]) -> None:
        flat = [row for task_rows in rows.values() for row in task_rows]
        long = sum(row.get("finish_reason") == "prompt_too_long" for row in flat)
        long += sum("loglikelihoods" in row and row["truncated"] for row in flat)
        if long:
            self.progress.message(
                f"{place}, {unit.suite}: {long} of {len(flat)} prompts are longer than the context; "
                "they are counted as not answered and marked in the samples (raise max_model_len)"
            )

    def _write_results(self, job: Job) -> None:
        units = [read_json(unit.path) for unit in self.units(job)]
        suites = [self.suites[name] for name in job.limits]
        record = checkpoint_record(job.checkpoint, suites, units, about_engine(self.engine))
        write_json(self.folder / job.checkpoint.label / "results.json", record)
