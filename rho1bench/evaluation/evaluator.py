"""Checkpoints on suites through one engine, unit by unit, resumable: what the eval stage and ``rho1bench eval`` share.

A unit is one checkpoint with the tasks that one suite adds. Every answer goes into the checkpoint's ``answers.jsonl``
as soon as it is complete; a finished unit leaves ``samples_<task>.jsonl`` and ``unit_<suite>.json`` and is not run
again while nothing that it depends on changes. ``results.json`` is written when all units of a checkpoint are finished.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from rho1bench.comparison.eval_results import read_results, texts_of
from rho1bench.evaluation.answer_cache import AnswerCache, engine_facts
from rho1bench.evaluation.bits_per_byte import CorpusText, TextUnit, answers_unit, corpus_unit, finished_texts
from rho1bench.evaluation.cached_model import CachedModel
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines import Engine, Tick, context_length
from rho1bench.evaluation.harness.chat import ChatTemplate
from rho1bench.evaluation.harness.lm_eval_tasks import Tasks, count_requests, run_unit, runs_programs
from rho1bench.evaluation.harness.lm_eval_types import Doc
from rho1bench.evaluation.records import (
    UnitRecord,
    checkpoint_record,
    data_sha256,
    exemplars_sha256,
    sample_rows,
    unit_record,
)
from rho1bench.paper.suites import Suite, split_work
from rho1bench.pipeline.fingerprint import code_hash
from rho1bench.recipe import EvalStage
from rho1bench.recipe.texts import MAX_BLOCKS
from rho1bench.sandbox import isolation_in_force
from rho1bench.system.files import read_own_json, sha256_file, sha256_json, write_json, write_jsonl
from rho1bench.system.progress import Progress


@dataclass
class Job:
    """All work on one checkpoint: suites with their limits, the widest first (None: all documents)."""

    checkpoint: Checkpoint
    limits: dict[str, int | None] = field(default_factory=dict)
    gold_answers: set[str] = field(default_factory=set)
    """The suites whose gold answers are measured too."""
    corpora: dict[str, CorpusText] = field(default_factory=dict)
    """The packed corpora to measure, by name."""

    def add(self, suite: str, limit: int | None) -> None:
        """Ask for ``suite``; of two limits the wider one holds."""
        if suite in self.limits and limit is not None:
            known = self.limits[suite]
            limit = known if known is None else max(known, limit)
        self.limits[suite] = limit

    def add_corpus(self, name: str, folder: Path, limit: int | None) -> None:
        """Ask for bits per byte of a packed corpus; of two numbers of blocks the larger one holds."""
        known = self.corpora.get(name)
        self.corpora[name] = CorpusText(name, folder, max(limit or MAX_BLOCKS, known.max_blocks if known else 0))


def by_swap_key(jobs: Iterable[Job]) -> list[Job]:
    """Put the jobs whose weights an engine can exchange side by side, so that it boots once for each kind."""
    order: dict[str, list[Job]] = {}
    for job in jobs:
        order.setdefault(job.checkpoint.swap_key() if job.checkpoint.has_weights else "", []).append(job)
    return [job for group in order.values() for job in group]


@dataclass(frozen=True)
class Unit:
    """The tasks that one suite adds for one checkpoint, and the file that says they are done."""

    suite: str
    tasks: tuple[str, ...]
    limit: int | None
    path: Path
    fingerprint: str
    """A hash of everything that the unit's files depend on."""

    @property
    def done(self) -> bool:
        """True if the unit's files are there and were made from the same."""
        return self.path.exists() and read_own_json(self.path).get("fingerprint") == self.fingerprint


@dataclass
class Evaluator:
    """The work in ``folder``; ``max_model_len`` is in tokens."""

    folder: Path
    tasks: Tasks
    suites: dict[str, Suite]
    engine: Engine
    max_model_len: int
    progress: Progress

    def run(self, jobs: Sequence[Job]) -> None:
        """Run all units that are not finished yet; raises SandboxError if a task's programs cannot be isolated."""
        units = {job.checkpoint.label: self.units(job) for job in jobs}
        texts = {job.checkpoint.label: self.texts(job, units[job.checkpoint.label]) for job in jobs}
        pending = {label: [unit for unit in found if not unit.done] for label, found in units.items()}
        pending_texts = {label: [text for text in found if not text.done] for label, found in texts.items()}
        total = sum(
            count_requests(self.tasks.load(unit.tasks), unit.limit) for units in pending.values() for unit in units
        ) + sum(text.num_requests for found in pending_texts.values() for text in found)
        if any(runs_programs(self.tasks.load(unit.tasks)) for units in pending.values() for unit in units):
            isolation_in_force()  # refused now rather than after an hour of answers
        self._done = 0
        self.progress.start(total, "requests")
        for number, job in enumerate(jobs, start=1):
            label = job.checkpoint.label
            if pending[label] or pending_texts[label]:
                place = f"{label} ({number}/{len(jobs)})"
                self._run_units(job.checkpoint, pending[label], pending_texts[label], place)
            if pending[label] or pending_texts[label] or not self._has_results(job):
                self._write_results(job, units[label])
        self.progress.close()

    def units(self, job: Job) -> list[Unit]:
        """Return the job's units; a task that two suites share belongs to the one with the wider limit."""
        names = sorted(job.limits, key=lambda name: -(job.limits[name] or 10**12))
        folder = self.folder / job.checkpoint.label
        return [
            Unit(suite, tasks, job.limits[suite], folder / f"unit_{suite}.json", self._fingerprint(job, suite, tasks))
            for suite, tasks in split_work([self.suites[name] for name in names])
        ]

    def texts(self, job: Job, units: Sequence[Unit]) -> list[TextUnit]:
        """Return the job's corpora and gold answers; raises as ``bits_per_byte.corpus_unit``."""
        checkpoint, folder = job.checkpoint, self.folder / job.checkpoint.label
        code = code_hash(EvalStage.spec.entry, EvalStage.spec.shipped)
        identity = sha256_json([self.identity(checkpoint), code])
        found = []
        if job.corpora:
            length = context_length(checkpoint.folder, self.engine.settings) - 1  # an engine writes a token of its own
            found = [corpus_unit(text, checkpoint, folder, length, identity) for text in job.corpora.values()]
        wanted = {task for suite in job.gold_answers for task in self.suites[suite].tasks}
        for unit in units:
            for name in unit.tasks:
                if name in wanted:
                    tasks = self.tasks.load([name])
                    found.append(answers_unit(name, tasks, folder, unit.fingerprint, unit.limit))
        return found

    def _fingerprint(self, job: Job, suite: str, tasks: Sequence[str]) -> str:
        loaded = self.tasks.load(tasks)
        data = {name: data_sha256(task) for name, task in loaded.items()}
        code = code_hash(EvalStage.spec.entry, EvalStage.spec.shipped)
        own = {name: [self.tasks.origin(name), exemplars_sha256(loaded[name])] for name in tasks if self._is_own(name)}
        more = [own, self._options(job.checkpoint)] if own or self.tasks.options.changed else []
        return sha256_json([self.identity(job.checkpoint), job.limits[suite], data, code, *more])

    def _is_own(self, task: str) -> bool:
        return self.tasks.origin(task) is not None

    def _options(self, checkpoint: Checkpoint) -> dict[str, object]:
        """Return what was changed about the tasks, with the template that makes chats of their prompts."""
        chat = self._chat(checkpoint)
        return self.tasks.options.changed | ({"chat_template_sha256": chat.sha256} if chat else {})

    def _chat(self, checkpoint: Checkpoint) -> ChatTemplate | None:
        return ChatTemplate(checkpoint.folder) if self.tasks.options.chat_template else None

    def settings(self, checkpoint: Checkpoint, limit: int | None) -> dict[str, object]:
        """Return what results must share to stand in one ``results.json``."""
        code = code_hash(EvalStage.spec.entry, EvalStage.spec.shipped)
        options = self._options(checkpoint)
        found = {"limit": limit, **self.identity(checkpoint), "code_sha256": code}
        return found | ({"options": options} if options else {})

    def identity(self, checkpoint: Checkpoint) -> dict[str, object]:
        """Return what the answers of ``checkpoint`` depend on besides the question."""
        return {
            "weights": checkpoint.identity,
            "engine": [self.engine.name, self.engine.version, self.engine.dtype],
            "answers_version": self.engine.answers_version,
            "max_model_len": self.max_model_len,
        }

    def _run_units(self, checkpoint: Checkpoint, units: Sequence[Unit], texts: Sequence[TextUnit], place: str) -> None:
        with closing(AnswerCache(self.folder / checkpoint.label, self.identity(checkpoint))) as cache:
            model = CachedModel(self.engine, checkpoint, cache)
            for unit in units:
                self._run_unit(model, unit, place)
            for text in texts:
                found = text.run(model, self._ticker(place, f"bits per byte of {text.name}"))
                if found is None:
                    self.progress.message(f"{place}: {text.name} has no gold answers; nothing is measured")
        if model.num_cached:
            self.progress.message(
                f"{place}: {model.num_cached} answers are from an earlier run, {model.num_computed} were computed now"
            )

    def _run_unit(self, model: CachedModel, unit: Unit, place: str) -> None:
        began, computed_before = time.monotonic(), model.num_computed
        tasks = self.tasks.load(unit.tasks)
        benchmarks = self.tasks.benchmarks(unit.tasks)
        result = run_unit(
            model,
            tasks,
            unit.limit,
            self._ticker(place, unit.suite),
            chat=self._chat(model.checkpoint),
            samples=self.tasks.options.samples,
        )
        rows = {name: sample_rows(task, name, result) for name, task in tasks.items()}
        for name in tasks:
            write_jsonl(unit.path.parent / f"samples_{name}.jsonl", rows[name])
        self._warn(unit, place, rows)
        seconds = time.monotonic() - began
        if model.num_computed == computed_before and unit.path.exists():  # only graded again
            seconds += read_own_json(unit.path)["seconds"]
        record = unit_record(tasks, benchmarks, result, rows, seconds)
        write_json(unit.path, {"fingerprint": unit.fingerprint, "suite": unit.suite, "limit": unit.limit, **record})

    def _ticker(self, place: str, suite: str) -> Tick:
        def tick(finished: int) -> None:
            self._done += finished
            rate = self.progress.rate(self._done)
            known = {} if rate is None else {"requests_per_second": rate}
            self.progress.update(self._done, checkpoint=place, suite=suite, **known)

        return tick

    def _warn(self, unit: Unit, place: str, rows: dict[str, list[Doc]]) -> None:
        flat = [row for task_rows in rows.values() for row in task_rows]
        long = sum(row.get("finish_reason") == "prompt_too_long" for row in flat)
        long += sum("loglikelihoods" in row and row["truncated"] for row in flat)
        if long:
            self.progress.message(
                f"{place}, {unit.suite}: {long} of {len(flat)} prompts are longer than the context; "
                "they are counted as not answered and marked in the samples (raise max_model_len)"
            )

    def _has_results(self, job: Job) -> bool:
        """Tell whether ``results.json`` holds every suite and text of the job."""
        folder = self.folder / job.checkpoint.label
        if not (folder / "results.json").exists():
            return False
        results = read_results(self.folder, job.checkpoint.label)
        return set(job.limits) <= set(results.suites) and texts_of(results) == finished_texts(folder)

    def _write_results(self, job: Job, units: Sequence[Unit]) -> None:
        """Write the results of the job's units, and of those that earlier requests with the same settings left."""
        folder = self.folder / job.checkpoint.label
        paths = [unit.path for unit in units]
        others = [path for path in sorted(folder.glob("unit_*.json")) if path not in paths]
        kept = [UnitRecord.model_validate(read_own_json(path)) for path in others]
        suites = [self.suites[name] for name in job.limits]
        suites += self.tasks.suites([unit.suite for unit in kept])
        records = [*kept, *(UnitRecord.model_validate(read_own_json(path)) for path in paths)]

        def samples_sha256(task: str) -> str:
            return sha256_file(folder / f"samples_{task}.jsonl")

        texts, facts = finished_texts(folder), engine_facts(folder, self.identity(job.checkpoint))
        record = checkpoint_record(
            job.checkpoint, suites, records, texts, self.engine, facts, self.tasks, samples_sha256
        )
        write_json(folder / "results.json", record)
