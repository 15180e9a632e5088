"""The private interfaces of lm-eval and vLLM that the package uses are still there; a message names what has moved."""

from __future__ import annotations

import importlib.metadata
import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lm_eval.api.task
import lm_eval.tasks
import pytest
from lm_eval.api.group import AggMetricConfig, Group
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._index import Entry

from rho1bench.evaluation.harness import lm_eval_types
from rho1bench.evaluation.harness.lm_eval_internals import load_task_yaml, no_request_bars, task_index
from rho1bench.evaluation.harness.lm_eval_model import TokenScoringLM
from rho1bench.system.paths import tasks_dir

LM_EVAL = f"lm-eval {importlib.metadata.version('lm-eval')}"


def test_a_task_yaml_is_read_without_its_functions():
    place = Path(lm_eval.tasks.__file__).parent / "mbpp" / "mbpp.yaml"
    assert "doc_to_text" in load_task_yaml(place), f"{LM_EVAL}: tasks._yaml_loader.load_yaml reads YAML otherwise"


def test_the_task_index_is_shared_with_the_manager():
    manager = lm_eval.tasks.TaskManager(include_path=str(tasks_dir()), include_defaults=False)
    entry = task_index(manager)["mini_gsm8k"]
    assert (entry.cfg or {})["task"] == "mini_gsm8k", f"{LM_EVAL}: entries of task_index have no cfg"
    task_index(manager)["copy"] = entry
    assert "copy" in manager.task_index, f"{LM_EVAL}: task_index is a copy now; benchmarks cannot add entries to it"


def test_the_bar_of_requests_is_drawn_by_a_module_global():
    before = lm_eval.api.task.tqdm
    with no_request_bars():
        assert list(lm_eval.api.task.tqdm([1, 2], desc="x")) == [1, 2]
    assert lm_eval.api.task.tqdm is before
    source = inspect.getsource(lm_eval.api.task.Task.build_all_requests)
    assert "tqdm(" in source, f"{LM_EVAL}: build_all_requests draws its bar otherwise"


def test_pairs_are_split_by_lm_eval_and_scored_by_the_hook():
    class Letters(TokenScoringLM):
        eot_token_id, max_length = 0, 100

        def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: object) -> list[int]:
            return [ord(letter) for letter in string]

        def score_tokens(self, pairs: Any) -> list[tuple[float, bool]]:
            return [(-float(len(context)), len(continuation) == 2) for _, context, continuation in pairs]

    assert hasattr(TemplateLM, "_loglikelihood_tokens"), f"{LM_EVAL}: TemplateLM has no _loglikelihood_tokens"
    found = Letters().loglikelihood([SimpleNamespace(args=("abc ", "d"))], disable_tqdm=True)
    assert found == [(-3.0, True)], f"{LM_EVAL}: TemplateLM splits pairs otherwise"


@pytest.mark.parametrize(
    ("protocol", "theirs"),
    [
        ("LMRequest", Instance),
        ("EvalTask", ConfigurableTask),
        ("TaskGroup", Group),
        ("AggregateMetric", AggMetricConfig),
        ("TaskEntry", Entry),
        ("TaskManager", lm_eval.tasks.TaskManager),
    ],
)
def test_the_protocols_are_those_of_lm_eval(protocol: str, theirs: type):
    ours = getattr(lm_eval_types, protocol)
    names = {*ours.__annotations__, *(name for name in vars(ours) if not name.startswith("_"))}
    source = inspect.getsource(theirs) + "".join(inspect.getsource(base) for base in theirs.__mro__[1:-1])
    missing = [name for name in names if not hasattr(theirs, name) and name not in source]
    assert not missing, f"{LM_EVAL}: {theirs.__name__} has no {', '.join(missing)}"


@pytest.mark.vllm
def test_vllm_has_the_interfaces_in_use(vllm_answers: dict[str, Any]):
    missing, version = vllm_answers["missing interfaces"], vllm_answers["version"]
    assert not missing, f"vLLM {version} has no {', '.join(missing)}; see engines/vllm_internals.py"
