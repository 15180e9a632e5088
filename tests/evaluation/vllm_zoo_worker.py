"""Run by the sweep in a process of its own: one vLLM engine serves one checkpoint after the other."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main(folder: Path) -> None:
    """Read ``task.json`` in ``folder``, write ``answers.json``: completions, or the message of a failure, by label."""
    from rho1bench.errors import EngineError
    from rho1bench.evaluation.checkpoints import Checkpoint
    from rho1bench.evaluation.engines import EngineSettings, Request
    from rho1bench.evaluation.engines.make import make_engine

    task = json.loads((folder / "task.json").read_text())
    engine = make_engine("vllm", EngineSettings(max_model_len=512, batch_size=8, log=folder / "engine.log"))
    requests = [Request(prompt, (), task["room"]) for prompt in task["prompts"]]
    answers: dict[str, Any] = {}
    for label, place in task["folders"].items():
        try:
            engine.load(Checkpoint(label, Path(place), label))
            found = dict(engine.stream(requests))
        except EngineError as error:
            answers[label] = str(error)
            continue
        rows = [found[index] for index in range(len(requests))]
        answers[label] = [[row.text, row.finish_reason, row.num_prompt_tokens, row.num_tokens] for row in rows]
    engine.close()
    (folder / "answers.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
