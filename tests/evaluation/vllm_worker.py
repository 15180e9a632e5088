"""Run by the tests in a process of its own: one engine, all phases, answers as JSON.

``early`` boots, ``late`` and ``early again`` are swaps. If all is asked for, ``other`` boots a second architecture, and
``late fresh`` boots anew.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

TOKEN_PAIRS = [([7], list(range(100, 180))), ([3, 4, 5], list(range(20, 60))), ([9], [11])]
"""Contexts and continuations as token ids."""


def main(folder: Path) -> None:
    """Read ``task.json`` in ``folder``, write ``answers.json``."""
    from rho1bench.evaluation.checkpoints import Checkpoint
    from rho1bench.evaluation.engines import EngineSettings, Generation, Request
    from rho1bench.evaluation.engines.make import make_engine
    from rho1bench.evaluation.harness.lm_eval_internals import token_loglikelihoods

    task = json.loads((folder / "task.json").read_text())
    requests = [Request(row["prompt"], tuple(row["until"]), 40) for row in task["prompts"]]
    engine = make_engine("vllm", EngineSettings(max_model_len=256, batch_size=64, log=folder / "engine.log"))
    answers: dict[str, Any] = {"seconds": {}, "boots": {}}

    def complete(some: list[Request]) -> list[Generation]:
        found = dict(engine.stream(some))
        return [found[place] for place in range(len(some))]

    def phase(name: str, checkpoint: str) -> None:
        began = time.monotonic()
        engine.load(Checkpoint(checkpoint, Path(task["checkpoints"][checkpoint]), checkpoint))
        answers["seconds"][name] = time.monotonic() - began
        answers["boots"][name] = engine.boots
        generations = complete(requests)
        answers[name] = [[g.text, g.finish_reason, g.num_prompt_tokens, g.num_tokens] for g in generations]
        answers[f"{name} tokens"] = token_loglikelihoods(engine.lm, TOKEN_PAIRS)
        answers[f"{name} loglikelihood"] = engine.lm.loglikelihood(_pairs(task["prompts"]), disable_tqdm=True)

    from rho1bench.evaluation.engines.vllm_internals import missing_interfaces

    answers["missing interfaces"], answers["version"] = missing_interfaces(), engine.version
    phase("early", "early")
    answers["facts"] = engine.facts()
    answers["half"] = [g.text for g in complete(requests[::2])]
    phase("late", "late")
    samples = [Request(requests[0].prompt, (), 12, temperature=0.8, top_p=0.95, seed=seed) for seed in range(6)]
    answers["samples"] = [g.text for g in complete(samples)]
    answers["samples again"] = [g.text for g in complete([*reversed(samples), *requests])[: len(samples)]]
    many = [Request("7 " * 100, (), 8, temperature=0.8, top_p=0.95, seed=seed) for seed in range(60)]
    answers["many samples"] = [[g.text, g.num_prompt_tokens] for g in complete(many)]
    answers["last of many"] = complete(many[-1:])[0].text
    phase("early again", "early")
    if task["all"]:
        phase("other", "other")
        phase("late fresh", "late")
    engine.close()
    answers["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    (folder / "answers.json").write_text(json.dumps(answers))


def _pairs(prompts: list[dict[str, Any]]) -> list[Any]:
    return [SimpleNamespace(args=(row["prompt"], " The answer is 7."), task_name=None) for row in prompts[:40:4]]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
