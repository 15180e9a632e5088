"""What an evaluation asks of the models, in tokens, and how long that takes on GPUs with vLLM.

Prompts are read at the assumed MFU of training. Writing is slower: each step of it reads all weights for one token an
answer. Assumed are :data:`WRITING` of the peak, and no more than :data:`MOST_TOKENS_A_SECOND` a copy, which vLLM's own
work allows: 1.75M tokens in 150 s were measured on one H100 with SmolLM2-135M, prompts read beside them. The shared
beginnings of prompts are counted each time, though vLLM keeps them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product

from rho1bench.paper.suites import SUITES, suites_called
from rho1bench.paper.task_sizes import TASK_SIZES
from rho1bench.recipe import EvalStage, Recipe, TrainStage
from rho1bench.recipe.texts import text_of
from rho1bench.sizing.flops import FORWARD, flops_per_token
from rho1bench.sizing.shapes import ModelShape

WRITING = 0.05
"""Share of a GPU's peak that generated tokens reach."""
MOST_TOKENS_A_SECOND = 12_000.0
BOOT_SECONDS = 60.0
"""Of an engine with compiled graphs; 50 were measured on one H100 with SmolLM2-135M."""


@dataclass
class Requests:
    """What is asked of checkpoints: their number, prompts and tokens."""

    checkpoints: int = 0
    prompts: float = 0
    prompt_tokens: float = 0
    written_tokens: float = 0
    unknown: set[str] = field(default_factory=set)
    """Tasks of unknown size, which are not in the numbers."""

    def add_task(self, name: str, limit: int | None, checkpoints: int) -> None:
        """Add the questions of one task to so many checkpoints."""
        if (found := TASK_SIZES.get(name)) is None:
            self.unknown.add(name)
            return
        rows = found.rows if limit is None else min(limit, found.rows)
        prompts = rows * found.requests * checkpoints
        self.prompts += prompts
        self.prompt_tokens += prompts * found.prompt
        self.written_tokens += prompts * found.answer

    def words(self, copies: int) -> str:
        """Return the numbers for a reader."""
        read, written = (f"{number / 1e6:,.1f}M" for number in (self.prompt_tokens, self.written_tokens))
        text = f"{self.prompts:,.0f} prompts to {self.checkpoints} checkpoints, {read} tokens read, {written} written"
        if copies > 1:
            text += f"; {copies} copies of the model, {BOOT_SECONDS:.0f} s to boot them for each checkpoint"
        return text + (f"; {len(self.unknown)} tasks of unknown size are not counted" if self.unknown else "")


def together(parts: Iterable[Requests]) -> Requests:
    """Add up what is asked of several models."""
    total = Requests()
    for part in parts:
        total.checkpoints += part.checkpoints
        total.prompts += part.prompts
        total.prompt_tokens += part.prompt_tokens
        total.written_tokens += part.written_tokens
        total.unknown |= part.unknown
    return total


def requests_by_stage(stage: EvalStage, recipe: Recipe) -> dict[str, Requests]:
    """Return what is asked of the checkpoints of each training stage that ``stage`` evaluates.

    A task that two suites share is asked once. Texts (``gold_answers:``, ``corpus:``) are not counted.
    """
    limits: dict[tuple[str, str, bool], list[int | None]] = {}
    found: dict[str, Requests] = {}
    named = {name for item in stage.evaluations for name in item.checkpoints}
    along = {name: recipe.stage(name, TrainStage).num_checkpoints for name in named}
    for item in stage.evaluations:
        for name, task in product(item.checkpoints, _tasks(item.suites)):
            requests = found.setdefault(name, Requests())
            requests.checkpoints = max(requests.checkpoints, 1 + (along[name] if item.trajectory else 0))
            for is_last in (True, False) if item.trajectory else (True,):
                limits.setdefault((name, task, is_last), []).append(item.limit)
    for (name, task, is_last), asked in limits.items():
        limit = None if None in asked else max(filter(None, asked))
        found[name].add_task(task, limit, 1 if is_last else along[name])
    return found


def _tasks(suites: list[str]) -> list[str]:
    names = suites_called([suite for suite in suites if text_of(suite) is None])
    return [task for name in names for task in SUITES.get(name, (name,))]


def seconds_of(requests: Requests, shape: ModelShape, length: int, peak: float, mfu: float, copies: int) -> float:
    """Return the seconds that ``copies`` of a model take for ``requests`` at contexts of ``length`` tokens.

    Several copies are booted for each checkpoint, one is booted by its first and swaps weights: that is left out.
    """
    forward = flops_per_token(shape, length) * FORWARD
    rate = min(WRITING * peak / forward, MOST_TOKENS_A_SECOND)
    working = requests.prompt_tokens * forward / (mfu * peak) + requests.written_tokens / rate
    return working / copies + (BOOT_SECONDS * requests.checkpoints if copies > 1 else 0.0)
