"""The private interfaces of lm-eval that this package uses, but for one overridden method in ``lm_eval_model``.

lm-eval has no public way to read a task's YAML without loading data, to look up the YAML behind a task's name, to leave
out the progress bar of building requests, or to score token ids. A test checks each against the installed version.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rho1bench.evaluation.harness.lm_eval_types import EncodedPair, EvalTask, LanguageModel, TaskEntry, TaskManager


def load_task_yaml(path: str | Path) -> dict[str, Any]:
    """Return the content of a task's YAML, includes resolved; the functions that it names are not imported."""
    from lm_eval.tasks._yaml_loader import load_yaml

    content: dict[str, Any] = load_yaml(path, resolve_func=False)
    return content


def task_index(manager: TaskManager) -> MutableMapping[str, TaskEntry]:
    """Return the entries of all tasks and groups by name; entries added to it are found by ``manager.load``."""
    index: MutableMapping[str, TaskEntry] = manager.task_index  # type: ignore[attr-defined]
    return index


def filtered_alone(task: EvalTask, instance: Any) -> Any:
    """Return what a task's first filter makes of the only response of one of its instances."""
    first = task._filters[0]  # type: ignore[attr-defined]
    first.apply([instance])
    return instance.filtered_resps[first.name]


LOGITS_AT_ONCE = 2**27
"""Elements: what a batch of whole rows of logits may hold, 512 MB in float32."""


def token_loglikelihoods(lm: LanguageModel, pairs: Sequence[tuple[list[int], list[int]]]) -> list[float]:
    """Return the log-likelihood, in nats, of each continuation after its context, both as token ids."""
    options: dict[str, int] = {}
    if "override_bs" in inspect.signature(lm._loglikelihood_tokens).parameters:  # transformers makes all logits at once
        longest = max(len(context) + len(continuation) for context, continuation in pairs)
        options["override_bs"] = max(1, min(64, LOGITS_AT_ONCE // (longest * lm.vocab_size)))
    requests: list[EncodedPair] = [(("", ""), context, continuation) for context, continuation in pairs]
    return [float(value) for value, _ in lm._loglikelihood_tokens(requests, disable_tqdm=True, **options)]


@contextmanager
def no_request_bars() -> Iterator[None]:
    """Leave out the bar that lm-eval draws for building each task's requests; the stage has its own progress."""
    from lm_eval.api import task

    def plain(items: Iterable[object], **_: object) -> Iterable[object]:
        return items

    bar, task.tqdm = task.tqdm, plain
    try:
        yield
    finally:
        task.tqdm = bar
