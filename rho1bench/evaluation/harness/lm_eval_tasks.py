"""One unit of evaluation: a checkpoint on a list of lm-eval tasks, run by lm-eval itself.

The tasks are built once for all checkpoints. Results keep lm-eval's field names; ``records`` turns them into files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rho1bench.errors import RunError, UserError
from rho1bench.evaluation.cached_model import Model
from rho1bench.evaluation.data.math_sets import MATH_SETS
from rho1bench.evaluation.harness.lm_eval_internals import no_request_bars, task_index
from rho1bench.evaluation.harness.lm_eval_types import EvalTask, TaskEntry, TaskGroup, TaskManager
from rho1bench.evaluation.harness.own_tasks import (
    check_kind,
    folder_sha256,
    lm_eval_entries,
    local_rows,
    members,
    read_folder,
)
from rho1bench.evaluation.harness.sampled_answers import SampledAnswers, sampled_answers
from rho1bench.evaluation.harness.task_groups import is_benchmark, load_benchmark
from rho1bench.evaluation.harness.task_options import TaskOptions
from rho1bench.evaluation.tools.tool_loop import ToolSettings
from rho1bench.paper.suites import SUITES, Suite, find_suites
from rho1bench.system.data_root import DATA_VARIABLE
from rho1bench.system.paths import tasks_dir

if TYPE_CHECKING:
    from rho1bench.evaluation.harness.chat import ChatTemplate
    from rho1bench.evaluation.harness.lm_eval_model import Answer

_FILE_FORMATS = ("json", "csv", "parquet", "text")
"""What `datasets` reads from files of the user's, under `data_files`."""
FEWSHOT_SEED = 1234


@dataclass(frozen=True)
class UnitResult:
    """lm-eval's results of one unit (with ``samples``) and how each answer ended, by task and document."""

    results: dict[str, Any]
    answers: dict[tuple[str, int], list[Answer]]
    sampled: dict[str, dict[int, SampledAnswers]] = field(default_factory=dict)
    """Of tasks with several answers to each prompt, by task and document."""


class Tasks:
    """The shipped lm-eval tasks, and those of other origin that are asked for; each is built at most once.

    Raises RunError as ``own_tasks.read_folder``, and where a task in ``options.include_path`` has a shipped one's name.
    """

    def __init__(self, options: TaskOptions | None = None) -> None:
        import lm_eval.tasks

        quiet_lm_eval()
        self.options = options or TaskOptions()
        self._manager: TaskManager = lm_eval.tasks.TaskManager(include_path=str(tasks_dir()), include_defaults=False)
        self._index = task_index(self._manager)
        self._groups = list(self._manager.all_groups)
        self._singles = list(self._manager.all_subtasks)
        self._origins: dict[str, str] = {}
        self._loaded: dict[str, dict[str, EvalTask]] = {}
        self._benchmarks: dict[str, TaskGroup] = {}
        if self.options.include_path is not None:
            self._include(self.options.include_path)

    def _include(self, folder: Path) -> None:
        found = read_folder(folder)
        for name in found:
            if name in self._index:
                raise RunError(f"{folder}: the name {name!r} is that of a task of rho1bench. Give it another one.")
        self._add(found, folder_sha256(folder))

    def _add(self, entries: Mapping[str, TaskEntry], origin: str) -> None:
        for name, entry in entries.items():
            if name not in self._index:
                self._index[name] = entry
                self._origins[name] = origin
                (self._groups if "group" in (entry.cfg or {}) else self._singles).append(name)

    def suites(self, names: Sequence[str]) -> list[Suite]:
        """Return the suites called ``names``: shipped ones, groups, single tasks, and lm-eval's own by name.

        Raises RunError as ``find_suites``, and as :meth:`TaskOptions.check`.
        """
        known = {*SUITES, *self._groups, *self._singles}
        for name in names:
            if name not in known:
                self._add(lm_eval_entries(name), f"lm-eval {version('lm_eval')}")
        self.options.check(names)
        own = {name: members(name, self._index) for name in names if name in self._groups and name in self._origins}
        return find_suites(names, self.groups | own, self.names)

    def origin(self, name: str) -> str | None:
        """Return what says which task ``name`` is: a hash of its folder, or lm-eval's version; None: it ships."""
        return self._origins.get(name)

    @property
    def groups(self) -> dict[str, list[str]]:
        """Names of shipped groups that are suites, with their tasks."""
        shipped = [name for name in self._groups if name not in self._origins]
        names = [name for name in shipped if not is_benchmark(self._index[name])]
        return {name: list(self.config(name).get("task", [])) for name in names}

    @property
    def names(self) -> list[str]:
        """Names of all single tasks and benchmarks."""
        benchmarks = [name for name in self._groups if name not in self._origins and is_benchmark(self._index[name])]
        return [*self._singles, *benchmarks]

    def config(self, name: str) -> dict[str, Any]:
        """Return the YAML of one task, includes resolved; nothing is loaded."""
        return dict(self._index[name].cfg or {})

    def _place(self, name: str) -> str:
        if name not in self._origins:
            return str(tasks_dir())
        data_set = self.config(name).get("dataset_path")
        hint = f"rows from a data folder: --data-root FOLDER or {DATA_VARIABLE}=FOLDER, general/<data set>/ inside"
        if data_set in _FILE_FORMATS:
            hint = "paths in data_files are taken from the folder in which the command is called"
        return f"its data set is {data_set}; {hint}"

    def num_rows(self, name: str) -> int | None:
        """Return the rows of the whole test set, whatever the copy at hand holds or a limit leaves; None if unknown."""
        config = self.config(name)
        if (math_set := MATH_SETS.get((config.get("dataset_kwargs") or {}).get("data_set", ""))) is not None:
            return math_set.num_rows
        if name.startswith("mini_") or name in self._origins:
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
            if name in self._origins:
                found = self._load_own(name)
            elif is_benchmark(self._index.get(name)):
                self._benchmarks[name], found = load_benchmark(self._manager, name)
            else:
                found = {name: self._manager.load([name])["tasks"][name]}
        except UserError:
            raise
        except Exception as error:
            raise RunError(f"task {name!r} ({self._place(name)}) cannot be built: {error}") from error
        for task in found.values():
            if task.get_config("num_fewshot") is None:
                task.set_config(key="num_fewshot", value=0)
            task.set_fewshot_seed(seed=FEWSHOT_SEED)
        self.options.apply(found)
        self._loaded[name] = found
        return found

    def _load_own(self, name: str) -> dict[str, EvalTask]:
        rows = local_rows(self.config(name))
        spec = {"group": f"{name} with other rows", "task": [{"task": name, **rows}]} if rows else name
        task: EvalTask = self._manager.load([spec])["tasks"][name]
        check_kind(name, task)
        return {name: task}


def run_unit(
    model: Model,
    tasks: Mapping[str, EvalTask],
    limit: int | None,
    tick: Callable[[int], None] = lambda _: None,
    *,
    chat: ChatTemplate | None = None,
    samples: int = 1,
) -> UnitResult:
    """Run lm-eval on ``tasks`` with one checkpoint, at most ``limit`` documents a task.

    ``chat`` makes chats of the prompts; with several ``samples`` each answer to a prompt is scored by itself.
    """
    from lm_eval.evaluator import evaluate

    from rho1bench.evaluation.harness.lm_eval_model import EvaluationLM

    lm = EvaluationLM(model, tool_tasks(tasks), tick, chat)
    with no_request_bars():
        results = evaluate(
            lm=lm,
            task_dict={"tasks": dict(tasks)},
            limit=limit,
            bootstrap_iters=1,  # every aggregation is a mean, whose standard error needs no resampling
            log_samples=True,
            confirm_run_unsafe_code=True,
            apply_chat_template=chat is not None,
            fewshot_as_multiturn=chat is not None,
        )
    assert results is not None
    found = UnitResult(dict(results), lm.answers)
    if samples > 1:
        for name, task in tasks.items():
            docs = {sample["doc_id"]: sample["doc"] for sample in results["samples"][name]}
            found.sampled[name] = sampled_answers(task, docs)
    return found


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
