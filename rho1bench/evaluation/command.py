"""``rho1bench eval``: from the options to evaluated checkpoints; every fault is reported before a model is loaded.

The work is ``evaluator``, shared with the eval stage of recipes. Each checkpoint gets the folder ``OUTPUT/<label>``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from rho1bench.answers.page import PAGE, write_page
from rho1bench.answers.sources import evaluation_sources
from rho1bench.comparison.eval_results import read_results
from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.errors import EngineError, RunError
from rho1bench.evaluation.adapters import with_bases
from rho1bench.evaluation.checkpoint_settings import head_sizes
from rho1bench.evaluation.checkpoints import Checkpoint, find_checkpoints
from rho1bench.evaluation.engines import EngineSettings
from rho1bench.evaluation.engines.make import make_engine
from rho1bench.evaluation.evaluator import Evaluator, Job, by_swap_key
from rho1bench.evaluation.harness.lm_eval_tasks import Tasks
from rho1bench.evaluation.harness.task_options import TaskOptions
from rho1bench.evaluation.kept_results import select_settings
from rho1bench.evaluation.tokenizer_check import check_tokenizer
from rho1bench.paper.suites import Suite, find_suites, lm_eval_file, shipped_names, suites_called
from rho1bench.pipeline.folder_lock import run_lock
from rho1bench.pipeline.inputs import check_made_by_stage
from rho1bench.recipe.texts import text_of
from rho1bench.system.data_root import use_data_folder
from rho1bench.system.disk_errors import disk_errors
from rho1bench.system.files import read_own_json, write_json
from rho1bench.system.hub import public_name
from rho1bench.system.progress import Progress

OWNER = "checkpoint.json"
"""Says in a checkpoint's folder whose answers it holds."""


@dataclass(frozen=True)
class EvalOptions:
    """The options of ``rho1bench eval``; ``limit`` in documents a task, ``max_model_len`` in tokens."""

    checkpoints: Sequence[str]
    output: Path
    suites: Sequence[str] = ()
    """Words of ``--suite``; without these and ``tasks``: math. Texts too: ``gold_answers:SUITE``, which asks for the
    suite as well, and ``corpus:FOLDER``."""
    tasks: Sequence[str] = ()
    limit: int | None = None
    engine: str = "auto"
    base_url: str | None = None
    served_model: str | None = None
    tensor_parallel_size: int = 1
    data_parallel_size: int = 1
    max_model_len: int = 4096
    batch_size: int | None = None
    """Prompts in work at once; default: the engine's own."""
    data_root: Path | None = None
    dtype: str | None = None
    task_options: TaskOptions = field(default_factory=TaskOptions)
    """Where tasks of one's own lie, and what is changed about tasks."""
    num_threads: int | None = None
    base: str | None = None
    """The model under the adapters among ``checkpoints``; None: the one that each names."""
    seed: int = field(default=0, kw_only=True)


def print_evaluations(paths: Sequence[Path], options: EvalOptions, tables: Console) -> None:
    """Print what :func:`evaluate` returned: a table and the files of each checkpoint."""
    from rho1bench.evaluation.result_table import bits_table, result_table

    for path in paths:
        results = read_results(path.parents[1], path.parent.name)
        asked = {name: suite for name, suite in results.suites.items() if name in _names(options)}
        if asked:
            tables.print(result_table(results.model_copy(update={"suites": asked})))
        if (bits := bits_table(results)) is not None:
            tables.print(bits)
        if options.limit is not None:
            tables.print(f"at most {options.limit} documents a task: a trial, not to be set beside published scores")
        tables.print(f"record: {path}", highlight=False, soft_wrap=True)
        tables.print(f"samples: {path.parent}/samples_*.jsonl", highlight=False, soft_wrap=True)
    page = options.output / PAGE
    write_page(page, evaluation_sources(options.output), f"Answers in {options.output.resolve().name}")
    tables.print(f"answers to read: {page}", highlight=False, soft_wrap=True)


def evaluate(options: EvalOptions, console: Console | None = None) -> list[Path]:
    """Evaluate the checkpoints, or continue; returns the ``results.json`` of each, in the order asked for.

    Raises:
        CheckpointError, DataError, RunError, EngineError: something the user can fix.
    """
    progress = Progress("eval", console or Console(stderr=True))
    _check_server(options)
    _check_names(options)
    use_data_folder(options.data_root)
    found = find_checkpoints(options.checkpoints, served=options.engine == "openai")
    with disk_errors(options.output):
        here = options.engine != "openai"
        checkpoints = with_bases(found, options.base, options.output, progress.message) if here else found
    for checkpoint in checkpoints:
        _check(checkpoint, options, progress.message)
    _check_corpora(options, checkpoints)
    tasks = Tasks(options.task_options)
    suites = tasks.suites(_names(options))
    tasks.load(list(dict.fromkeys(task for suite in suites for task in suite.tasks)))
    with disk_errors(options.output), _folders(options.output, checkpoints):
        _run(options, checkpoints, tasks, suites, progress)
    return [options.output / checkpoint.label / "results.json" for checkpoint in checkpoints]


def _names(options: EvalOptions) -> list[str]:
    """Return the suites, groups and tasks that are asked for."""
    asked = options.suites or ([] if options.tasks else ["math"])
    words = [text_of(word) or ("suite", word) for word in asked]
    return [*suites_called([name for kind, name in words if kind != "corpus"]), *options.tasks]


def _check_names(options: EvalOptions) -> None:
    """Raise RunError for a name that neither ships nor is lm-eval's, before lm-eval or a model is asked, which is slow.

    With tasks of one's own lm-eval tells which there are.
    """
    if options.task_options.include_path is not None:
        return
    known = shipped_names()
    wrong = [name for name in _names(options) if name not in known and lm_eval_file(name) is None]
    find_suites(wrong, {}, known)


def _job(checkpoint: Checkpoint, suites: Sequence[Suite], options: EvalOptions) -> Job:
    job = Job(checkpoint, {suite.name: options.limit for suite in suites})
    for kind, name in filter(None, map(text_of, options.suites)):
        if kind == "gold_answers":
            job.gold_answers.update(suites_called([name]))
        else:
            job.add_corpus(Path(name).resolve().name, Path(name), options.limit)
    return job


def _check_corpora(options: EvalOptions, checkpoints: Sequence[Checkpoint]) -> None:
    """Open every corpus; raises DataError where there is none, EngineError for a model whose tokenizer is not here."""
    for kind, name in filter(None, map(text_of, options.suites)):
        if kind == "corpus":
            PackedCorpus(Path(name))
            for checkpoint in checkpoints:
                if not checkpoint.has_weights:
                    raise EngineError(f"corpus:{name}: the tokens of a corpus need a checkpoint in a folder")


def _check_server(options: EvalOptions) -> None:
    if options.engine == "openai" and not options.base_url:
        raise EngineError("--engine openai needs the server's address, for example --base-url http://localhost:8000/v1")
    if options.engine != "openai" and (options.base_url or options.served_model):
        raise EngineError(f"--base-url and --model go with --engine openai, not with --engine {options.engine}")
    if options.base_url and not options.base_url.startswith(("http://", "https://")):
        raise EngineError(f"--base-url {options.base_url}: expected an address such as http://localhost:8000/v1")
    if options.base and options.engine == "openai":
        raise EngineError("--base is for adapters that are loaded here; a server has its models whole")
    if options.served_model and len(options.checkpoints) > 1:
        raise EngineError("--model names one model of the server, so give one CHECKPOINT with it")


def _check(checkpoint: Checkpoint, options: EvalOptions, message: Callable[[str], None]) -> None:
    if options.engine == "openai" and not checkpoint.has_weights:
        return
    check_made_by_stage(checkpoint.folder)
    checkpoint.check()
    from transformers.utils import logging

    logging.set_verbosity_error()
    if not check_tokenizer(checkpoint).has_padding:
        message(f"{checkpoint.label}: the tokenizer has no padding token; batches are padded with its end token")


@contextmanager
def _folders(output: Path, checkpoints: Sequence[Checkpoint]) -> Iterator[None]:
    """Make, lock and claim each checkpoint's folder; raises RunError if it holds another checkpoint's evaluation."""
    with ExitStack() as locks:
        for checkpoint in checkpoints:
            folder = output / checkpoint.label
            folder.mkdir(parents=True, exist_ok=True)
            locks.enter_context(run_lock(folder))
            owner = {"model": checkpoint.source, "revision": checkpoint.revision, "identity": checkpoint.identity}
            before = read_own_json(folder / OWNER) if (folder / OWNER).exists() else owner
            if before["identity"] != owner["identity"]:
                raise RunError(
                    f"{folder} holds the evaluation of another checkpoint ({before['model']}, other "
                    "weights or tokenizer). Give another folder with --output, or remove this one."
                )
            if not os.access(folder, os.W_OK):
                raise RunError(f"{folder} is not writable. Make it writable, or give another folder with --output.")
            write_json(folder / OWNER, owner)
        yield


def _run(
    options: EvalOptions, checkpoints: Sequence[Checkpoint], tasks: Tasks, suites: Sequence[Suite], progress: Progress
) -> None:
    settings = EngineSettings(
        max_model_len=options.max_model_len,
        batch_size=options.batch_size,
        log=options.output / checkpoints[0].label / "engine.log",
        num_threads=options.num_threads,
        seed=options.seed,
        tensor_parallel_size=options.tensor_parallel_size,
        data_parallel_size=options.data_parallel_size,
        base_url=options.base_url,
        served_model=options.served_model,
        dtype=options.dtype,
        base=None if options.base is None else public_name(options.base),
        head_sizes=head_sizes(checkpoint.folder for checkpoint in checkpoints),
    )
    jobs = [_job(checkpoint, suites, options) for checkpoint in checkpoints]
    engine = make_engine(options.engine, settings, progress.message)
    try:
        named = {suite.name: suite for suite in suites}
        evaluator = Evaluator(options.output, tasks, named, engine, options.max_model_len, progress)
        for checkpoint in checkpoints:
            select_settings(options.output / checkpoint.label, evaluator.settings(checkpoint, options.limit))
        evaluator.run(by_swap_key(jobs))
    finally:
        engine.close()
        progress.close()
