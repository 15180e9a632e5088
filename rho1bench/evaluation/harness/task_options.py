"""What a user may change about tasks: where they lie, how many exemplars, the chat template, how answers are sampled.

The paper's suites fix all of this (sections 3.2 and 3.3), so they refuse it; single tasks and own tasks take it.
What is set changes prompts, generation settings or the unit's fingerprint, so that no two settings share a column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from rho1bench.errors import RunError
from rho1bench.evaluation.harness.lm_eval_types import EvalTask
from rho1bench.paper.protocol import RANKED_SUITES


@dataclass(frozen=True)
class TaskOptions:
    """Set by ``rho1bench eval`` and by a recipe's ``eval`` stage; a default leaves a task as its YAML says."""

    include_path: Path | None = None
    """A folder of lm-eval YAMLs."""
    num_fewshot: int | None = None
    chat_template: bool = False
    """Prompts are turns of a chat in the checkpoint's own template; exemplars are turns of their own."""
    samples: int = 1
    """Answers to each prompt: the score is their mean (avg@k), and maj@k stands beside it."""
    temperature: float | None = None
    top_p: float | None = None
    max_new_tokens: int | None = None

    @property
    def changed(self) -> dict[str, object]:
        """What is set, by name, but for where tasks lie."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "include_path"}
        defaults = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in values.items() if value != defaults[name]}

    @property
    def generation(self) -> dict[str, object]:
        """What of it is lm-eval's ``generation_kwargs``."""
        given: dict[str, object] = {}
        if self.temperature is not None:
            given |= {"do_sample": self.temperature > 0, "temperature": self.temperature}
        if self.top_p is not None:
            given["top_p"] = self.top_p
        if self.max_new_tokens is not None:
            given["max_gen_toks"] = self.max_new_tokens
        return given

    def check(self, suites: Iterable[str]) -> None:
        """Raise RunError for settings that contradict each other, or the protocol of one of ``suites``."""
        sampled = self.temperature is not None and self.temperature > 0
        if self.samples > 1 and not sampled:
            raise RunError(
                f"{self.samples} samples a prompt would all be the same: decoding is greedy. Set a temperature above 0."
            )
        if self.top_p is not None and not sampled:
            raise RunError("top_p has no effect on greedy decoding. Set a temperature above 0, too.")
        ranked = next((suite for suite in suites if suite in RANKED_SUITES), None)
        if ranked is not None and self.changed:
            raise RunError(
                f"{ranked} is evaluated by the paper's protocol, which leaves no choice of {_words(self.changed)}. "
                "Name its tasks one by one (`rho1bench tasks list` shows them), or write tasks of your own."
            )

    def apply(self, tasks: Mapping[str, EvalTask]) -> None:
        """Set these options in lm-eval's tasks; raises RunError for a task that has no use for one of them."""
        for name, task in tasks.items():
            if self.num_fewshot is not None:
                self._set_fewshot(name, task)
            if not (self.generation or self.samples > 1):
                continue
            if task.OUTPUT_TYPE != "generate_until":
                raise RunError(
                    f"the task {name!r} compares log-likelihoods and generates nothing, so that there is no choice of "
                    f"{_words(set(self.changed) - {'num_fewshot', 'chat_template'})}."
                )
            if self.samples > 1 and (task.get_config("repeats") > 1 or _plays_with_tools(task)):
                raise RunError(f"the task {name!r} says itself how its answers are sampled; leave samples out.")
            kwargs = {**(task.get_config("generation_kwargs") or {}), **self.generation}
            task.set_config(key="generation_kwargs", value=kwargs)
            if self.samples > 1:
                task.set_config(key="repeats", value=self.samples)

    def _set_fewshot(self, name: str, task: EvalTask) -> None:
        shots = self.num_fewshot or 0
        named = task.get_config("fewshot_split") or task.get_config("fewshot_config")
        if shots and not (task.has_training_docs() or task.has_validation_docs() or named):
            raise RunError(f"the task {name!r} has no split to take {shots} exemplars from.")
        task.set_config(key="num_fewshot", value=shots)


def _plays_with_tools(task: EvalTask) -> bool:
    return bool((task.get_config("metadata") or {}).get("tool_loop"))


def _words(names: Iterable[str]) -> str:
    return ", ".join(sorted(name.replace("_", " ") for name in names))
