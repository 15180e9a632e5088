"""The parts of lm-eval's objects that this package uses, as protocols: lm-eval itself ships no types.

A test compares them with the installed lm-eval. Used by everything that reads a task, a request or a document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Doc = dict[str, Any]
"""One document of a task: a JSON object whose columns are the data set's."""

Splits = dict[str, Any]
"""Data sets of a task by split; ``datasets.Dataset``, which mypy does not follow."""

LoglikelihoodPair = tuple[str, str]
"""Context and continuation."""

EncodedPair = tuple[LoglikelihoodPair, list[int], list[int]]
"""Context and continuation, as texts and as token ids."""


class LMRequest(Protocol):
    """lm-eval's ``Instance``: one request of a task to the model."""

    doc: Doc
    task_name: str
    doc_id: int
    idx: int

    @property
    def args(self) -> tuple[Any, ...]:
        """(prompt, generation options), or (context, continuation) for a log-likelihood."""


class LanguageModel(Protocol):
    """lm-eval's model of a checkpoint, as far as log-likelihoods need it."""

    @property
    def max_length(self) -> int:
        """Context length in tokens."""

    def tok_encode(self, string: str) -> list[int]:
        """Tokenize as a prompt is tokenized."""

    @property
    def vocab_size(self) -> int:
        """Rows of the output head; asked of transformers' model alone."""

    def loglikelihood(self, requests: Sequence[LMRequest], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Return the log-likelihood in nats and whether the continuation is the greedy one, by request."""

    def _loglikelihood_tokens(
        self, requests: Sequence[EncodedPair], disable_tqdm: bool = False, **options: int
    ) -> list[tuple[float, bool]]:
        """Return the same of token ids (``lm_eval_internals.token_loglikelihoods``)."""


class EvalTask(Protocol):
    """lm-eval's ``ConfigurableTask``."""

    OUTPUT_TYPE: str
    VERSION: int | str
    task_name: str
    instances: Sequence[Any]
    """lm-eval's requests, with their responses once it has run the task."""
    multiple_input: int
    """Not 0: the choices of a document are contexts, and what follows them is scored."""

    @property
    def eval_docs(self) -> Sequence[Doc]:
        """The test documents."""

    def get_config(self, key: str) -> Any:
        """Return a value of the task's YAML, whose type depends on the key."""

    def set_config(self, key: str, value: object, update: bool = False) -> None:
        """Change a value of the task's YAML."""

    def set_fewshot_seed(self, seed: int | None = None) -> None:
        """Set the seed of the choice of exemplars."""

    def fewshot_context(self, doc: Doc, num_fewshot: int) -> str | list[str]:
        """Return the whole prompt of a document, exemplars included; several where each choice has its own."""

    def has_training_docs(self) -> bool:
        """Tell whether the task names a split of training rows."""

    def has_validation_docs(self) -> bool:
        """Tell whether the task names a split of validation rows."""

    def process_results(self, doc: Doc, results: Sequence[Any]) -> Mapping[str, Any]:
        """Return the metrics of a document, by name."""

    def doc_to_text(self, doc: Doc) -> Any:
        """Return the question; of a task with several inputs the number of the right one."""

    def doc_to_target(self, doc: Doc) -> Any:
        """Return the right answer: a text, the number of a choice, or several of them."""

    def doc_to_choice(self, doc: Doc) -> Sequence[str]:
        """Return the choices of a multiple-choice document."""


class AggregateMetric(Protocol):
    """An entry of ``aggregate_metric_list`` of a group."""

    metric: str
    weight_by_size: bool


class TaskGroup(Protocol):
    """lm-eval's ``Group``."""

    aggregate_metric_list: Sequence[AggregateMetric]

    @property
    def version(self) -> str:
        """Version in the group's YAML."""

    def get_all_tasks(self) -> Sequence[EvalTask]:
        """Return the tasks of the group and its subgroups."""


class TaskEntry(Protocol):
    """What lm-eval's task index holds of a YAML: its content, includes resolved, nothing loaded."""

    cfg: dict[str, Any] | None


class TaskManager(Protocol):
    """lm-eval's ``TaskManager``."""

    @property
    def all_groups(self) -> list[str]:
        """Names of groups."""

    @property
    def all_subtasks(self) -> list[str]:
        """Names of single tasks."""

    def load(self, task_list: Sequence[str | dict[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
        """Build tasks and groups; the keys are ``tasks`` and ``groups``."""
