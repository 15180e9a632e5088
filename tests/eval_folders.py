"""Writes what an eval stage leaves for a label, from bare scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rho1bench.system.files import write_json, write_jsonl


def write_label(
    folder: Path,
    label: str,
    scores: Mapping[str, Sequence[float]],
    suites: Mapping[str, Sequence[str]] | None = None,
    **record: Any,
) -> None:
    """``scores``: task -> score of documents 0, 1, ...; further keywords go into the record."""
    means = {task: sum(values) / len(values) for task, values in scores.items()}
    suites = suites if suites is not None else {"mini_math9": list(scores)}
    for task, values in scores.items():
        rows = [
            {"task": task, "doc_id": index, "doc": {"question": f"{task} {index}"}, "target": "1", "score": score}
            for index, score in enumerate(values)
        ]
        write_jsonl(folder / label / f"samples_{task}.jsonl", rows)
    stage, _, step = label.partition("@")
    own = {
        "label": label,
        "stage": stage,
        "step": int(step) if step else 400,
        "tokens": 400 * 6144,
        "selected_tokens": 400 * 6144,
        "engine": "hf",
        "engine_version": "5.19.0",
        "dtype": "float32",
        "decoding": {"temperature": 0.0, "max_gen_toks": 96},
        "suites": {
            suite: {"tasks": list(tasks), "average": sum(means[task] for task in tasks) / len(tasks)}
            for suite, tasks in suites.items()
        },
        "tasks": {
            task: {
                "metric": "f1" if "tydiqa" in task else "exact_match",
                "score": means[task],
                "n": len(values),
                "truncated": 0,
                "verdicts": {},
                "version": 1,
                "data_sha256": "d" * 64,
            }
            for task, values in scores.items()
        },
        "eval_fingerprint": "f" * 64,
        "seconds": 1.0,
    }
    results = {task: {"exact_match,none": mean, "exact_match_stderr,none": 0.0} for task, mean in means.items()}
    write_json(folder / label / "results.json", {"results": results, "rho1bench": own | record})
