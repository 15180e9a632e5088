"""One unit of evaluation: a checkpoint on a list of lm-eval tasks, run by lm-eval itself.

The tasks are built once for all checkpoints. Results keep lm-eval's field names; ``records`` turns them into files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rho1bench.errors import RunError, UserError
from rho1bench.evaluation.cached_model import Model
from rho1bench.evaluation.data.math_sets import MATH_SETS
from rho1bench.evaluation.harness.lm_eval_internals import no_request_bars, task_index
from rho1bench.evaluation.harness.lm_eval_types import EvalTask, TaskGroup, TaskManager
from rho1bench.evaluation.harness.task_groups import is_benchmark, load_benchmark
from rho1bench.evaluation.tools.tool_loop import ToolSettings
from rho1bench.system.paths import tasks_dir

if TYPE_CHECKING:
    from rho1bench.evaluation.harness.lm_eval_model import Answer

FEWSHOT_SEED = 1234


@dataclass(frozen=True)
class UnitResult:
    """lm-eval's results of one unit (with ``samples``) and how each answer ended, by task and document."""

    results: dict[str, Any]
    answers: dict[tuple[str, int], list[Answer]]


class Tasks:
    """The shipped lm-eval tasks, each built at most once."""

    def __init__(self) -> None:
        import lm_eval.tasks

        quiet_lm_eval()
        self._manager: TaskManager = lm_eval.tasks.TaskManager(include_path=str(tasks_dir()), include_defaults=False)
        self._index = task_index(self._manager)
        self._loaded: dict[str, dict[str, EvalTask]] = {}
        self._benchmarks: dict[str, TaskGroup] = {}

    @property
    def groups(self) -> dict[str, list[str]]:
        """Names of groups that are suites, with their tasks."""
        names = [name for name in self._manager.all_groups if not is_benchmark(self._index[name])]
        return {name: list(self.config(name).get("task", [])) for name in names}

    @property
    def names(self) -> list[str]:
        """Names of all single tasks and benchmarks."""
        benchmarks = [name for name in self._manager.all_groups if is_benchmark(self._index[name])]
        return [*self._manager.all_subtasks, *benchmarks]

    def config(self, name: str) -> dict[str, Any]:
        """Return the YAML of one task, includes resolved; nothing is loaded."""
        return dict(self._index[name].cfg or {})

    def num_rows(self, name: str) -> int | None:
        """Return the rows of the whole test set, whatever the copy at hand holds or a limit leaves; None if unknown."""
        config = self.config(name)
        if (math_set := MATH_SETS.get((config.get("dataset_kwargs") or {}).get("data_set", ""))) is not None:
            return math_set.num_rows
        if name.startswith("mini_"):
            return len(self.load([name])[name].eval_docs)
        rows: int | None = (config.get("metadata") or {}).get("benchmark", {}).get("rows")
        return rows

    def load(self, names: Sequence[str]) -> dict[str, EvalTask]:
        """Return lm-eval task objects by name, those of a benchmark by their own names.

        Raises:
            RunError, DataError: a task cannot be built, or its data cannot be obtained.
        """
        return {task: loaded for name in names for task, loaded in self._load(name).items()}

    def benchmarks(self, names: Sequence[str]) -> dict[str, TaskGroup]:
        """Return lm-eval's groups of those ``names`` that are benchmarks; raises as :meth:`load`."""
        self.load(names)
        return {name: self._benchmarks[name] for name in names if name in self._benchmarks}

    def _load(self, name: str) -> dict[str, EvalTask]:
        if name in self._loaded:
            return self._loaded[name]
        try:
            if is_benchmark(self._index.get(name)):
                self._benchmarks[name], found = load_benchmark(self._manager, name)
            else:
                found = {name: self._manager.load([name])["tasks"][name]}
        except UserError:
            raise
        except Exception as error:
            raise RunError(f"task {name!r} ({tasks_dir()}) cannot be built: {error}") from error
        for task in found.values():
            if task.get_config("num_fewshot") is None:
                task.set_config(key="num_fewshot", value=0)
            task.set_fewshot_seed(seed=FEWSHOT_SEED)
        self._loaded[name] = found
        return found


def run_unit(
    model: Model,
    tasks: Mapping[str, EvalTask],
    limit: int | None,
    tick: Callable[[int], None] = lambda _: None,
) -> UnitResult:
    """Run lm-eval on ``tasks`` with one checkpoint, at most ``limit`` documents a task."""
    from lm_eval.evaluator import evaluate

    from rho1bench.evaluation.harness.lm_eval_model import EvaluationLM

    lm = EvaluationLM(model, tool_tasks(tasks), tick)
    with no_request_bars():
        results = evaluate(
            lm=lm,
            task_dict={"tasks": dict(tasks)},
            limit=limit,
            bootstrap_iters=1,  # every aggregation is a mean, whose standard error needs no resampling
            log_samples=True,
            confirm_run_unsafe_code=True,
        )
    assert results is not None
    return UnitResult(dict(results), lm.answers)


def tool_tasks(tasks: Mapping[str, EvalTask]) -> dict[str, ToolSettings]:
    """Return the tool-loop settings of the tasks whose metadata asks for the loop."""
    wanted = {name: (task.get_config("metadata") or {}).get("tool_loop") for name, task in tasks.items()}
    return {name: ToolSettings(**settings) for name, settings in wanted.items() if settings}


def runs_programs(tasks: Mapping[str, EvalTask]) -> bool:
    """True if one of the tasks runs programs that the model wrote."""
    return bool(tool_tasks(tasks)) or any(task.get_config("unsafe_code") for task in tasks.values())


def count_requests(tasks: Mapping[str, EvalTask], limit: int | None) -> int:
    """Return how many model requests the tasks make."""
    total = 0
    for task in tasks.values():
        docs = len(task.eval_docs)
        several = task.OUTPUT_TYPE == "multiple_choice"
        choices = len(task.doc_to_choice(task.eval_docs[0])) if several else task.get_config("repeats")
        total += choices * (docs if limit is None else min(limit, docs))
    return total


def quiet_lm_eval() -> None:
    """Keep lm-eval's notices (not its errors) off the terminal."""
    import datasets

    datasets.disable_progress_bars()
    for name in ("lm_eval", "datasets", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
