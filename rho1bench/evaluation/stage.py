"""Stage ``eval`` of a recipe: the checkpoints of earlier stages on suites (paper sections 3.2 and 3.3).

Says which checkpoints and suites; the work itself is ``evaluator``, which ``rho1bench eval`` shares.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rho1bench.evaluation.checkpoint_settings import head_sizes
from rho1bench.evaluation.checkpoints import final_checkpoint, trajectory_checkpoints
from rho1bench.evaluation.engines import EngineSettings
from rho1bench.evaluation.engines.make import make_engine
from rho1bench.evaluation.evaluator import Evaluator, Job, by_swap_key
from rho1bench.evaluation.harness.lm_eval_tasks import Tasks
from rho1bench.evaluation.harness.task_options import TaskOptions
from rho1bench.evaluation.tokenizer_check import check_tokenizer
from rho1bench.pipeline.launch import num_gpus
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import EvalStage
from rho1bench.recipe.texts import text_of


def run(context: StageContext) -> None:
    """Evaluate every checkpoint that the recipe names; raises EngineError, CheckpointError or RunError."""
    stage = context.config(EvalStage)
    tasks = Tasks(task_options(stage))
    jobs = plan_jobs(stage, context.inputs)
    names = list(dict.fromkeys(name for job in jobs for name in job.limits))
    suites = {suite.name: suite for suite in tasks.suites(names)}
    for job in jobs:
        job.checkpoint.check()
        check_tokenizer(job.checkpoint)
    jobs = by_swap_key(jobs)
    settings = _settings(context, stage, head_sizes(job.checkpoint.folder for job in jobs))
    engine = make_engine(context.options.engine or stage.engine, settings, context.progress.message)
    try:
        Evaluator(context.folder, tasks, suites, engine, stage.max_model_len, context.progress).run(jobs)
    finally:
        engine.close()


def task_options(stage: EvalStage) -> TaskOptions:
    """Return what a recipe changes about tasks."""
    settings = stage.task_options
    where = settings.include_path
    return TaskOptions(**settings.model_dump() | {"include_path": None if where is None else Path(where)})


def plan_jobs(stage: EvalStage, inputs: Mapping[str, Path]) -> list[Job]:
    """Return one job a checkpoint."""
    jobs: dict[str, Job] = {}
    for evaluation in stage.evaluations:
        for name in evaluation.checkpoints:
            folder = Path(inputs[name])
            found = trajectory_checkpoints(name, folder) if evaluation.trajectory else [final_checkpoint(name, folder)]
            for checkpoint in found:
                job = jobs.setdefault(checkpoint.label, Job(checkpoint))
                for suite in evaluation.suites:
                    kind, of = text_of(suite) or ("tasks", suite)
                    if kind == "corpus":
                        job.add_corpus(of, Path(inputs[of]), evaluation.limit)
                    elif kind == "gold_answers":
                        job.gold_answers.add(of)
                    else:
                        job.add(suite, evaluation.limit)
    return list(jobs.values())


def _settings(context: StageContext, stage: EvalStage, heads: tuple[int, ...]) -> EngineSettings:
    said = stage.data_parallel_size
    return EngineSettings(
        max_model_len=stage.max_model_len,
        batch_size=stage.batch_size,
        log=context.folder / "engine.log",
        num_threads=context.options.num_threads,
        seed=context.seed,
        dtype=stage.dtype,
        data_parallel_size=said or 1,
        spare_gpus=min(context.options.gpus_per_node, num_gpus()) if said is None else 0,
        head_sizes=heads,
    )
