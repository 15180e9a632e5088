"""A data folder of invented rows in the shape of the thirteen general benchmarks; English has one row more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lm_eval.tasks
from lm_eval.tasks._yaml_loader import load_yaml

LM_EVAL = Path(lm_eval.tasks.__file__).parent
LANGUAGES = ("arabic", "bengali", "english", "finnish", "indonesian", "korean", "russian", "swahili", "telugu")
Rows = list[dict[str, Any]]


def write_general(root: Path) -> Path:
    """Write ``root/general`` and return ``root``."""
    for folder, rows in _tables():
        path = root / "general" / f"{folder}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


def _tables() -> list[tuple[str, Rows]]:
    tables = [("humaneval/test", _humaneval()), ("tydiqa/secondary_task/validation", _reading(1))]
    tables += [("tydiqa/secondary_task/fewshot", _reading(100))]
    tables += [(f"mbpp/full/{split}", _mbpp(start)) for split, start in (("prompt", 1), ("test", 11))]
    tables += [(f"mmlu/{name}/{split}", _mmlu(split)) for name in _configs("mmlu/default") for split in ("dev", "test")]
    tables += [(f"bbh/{name}/test", _bbh()) for name in _configs("bbh/cot_fewshot")]
    for name in ("aqua-rat", "gaokao-english", "logiqa-en", "lsat-ar", "lsat-lr", "lsat-rc"):
        tables.append((f"agieval/{name}/test", _agieval()))
    for name in ("sat-en", "sat-en-without-passage", "sat-math"):
        tables.append((f"agieval/{name}/test", _agieval()))
    tables.append(("agieval/math/test", [{"query": f"Q: {n} + 1?\nA:", "answer": str(n + 1)} for n in range(3)]))
    tables += [(f"arc/{name}/test", _labelled("question")) for name in ("ARC-Easy", "ARC-Challenge")]
    tables.append(("openbookqa/main/test", _labelled("question_stem")))
    return tables + [(f"{name}/validation", rows) for name, rows in _pairs().items()]


def _configs(folder: str) -> list[str]:
    names = {load_yaml(path, resolve_func=False).get("dataset_name") for path in (LM_EVAL / folder).glob("*.yaml")}
    return sorted(name for name in names if name)


def _mmlu(split: str) -> Rows:
    numbers = range(5) if split == "dev" else range(10, 13)
    choices = [["1", "2", "3", str(n)] for n in numbers]
    return [{"question": f"Pick {c[3]}.", "subject": "x", "choices": c, "answer": 3} for c in choices]


def _bbh() -> Rows:
    return [{"input": f"not {word} is", "target": word} for word in ("True", "False", "(A)")]


def _agieval() -> Rows:
    return [{"query": f"Q: Pick {n}.\nA:", "choices": ["(A)7", f"(B){n}"], "gold": [1]} for n in range(3)]


def _labelled(field: str) -> Rows:
    return [
        {"id": str(n), field: f"Pick {n}.", "choices": {"text": [str(n), "9"], "label": ["A", "B"]}, "answerKey": "A"}
        for n in range(3)
    ]


def _pairs() -> dict[str, Rows]:
    numbers = range(3)
    return {
        "boolq": [{"question": f"is {n} odd", "passage": "Odd: 1.", "idx": n, "label": n % 2} for n in numbers],
        "piqa": [{"goal": f"get {n}", "sol1": f"take {n}", "sol2": "sing", "label": 0} for n in numbers],
        "hellaswag": [
            {"activity_label": "Rest", "ctx_a": f"Bo has {n} caps.", "ctx_b": "he", "endings": ["a", "b"], "label": "1"}
            for n in numbers
        ],
        "winogrande/winogrande_xl": [
            {"sentence": f"Ann met Bea and _ had {n} caps.", "option1": "Ann", "option2": "Bea", "answer": "2"}
            for n in numbers
        ],
    }


def _humaneval() -> Rows:
    return [
        {
            "task_id": f"HumanEval/{n}",
            "prompt": f'def add{n}(x):\n    """Add {n}."""\n',
            "canonical_solution": f"    return x + {n}\n",
            "test": f"def check(candidate):\n    assert candidate(1) == {n + 1}\n",
            "entry_point": f"add{n}",
        }
        for n in range(3)
    ]


def _mbpp(start: int) -> Rows:
    return [
        {
            "task_id": n,
            "text": f"Add {n}.",
            "code": f"def add(x):\r\n\treturn x + {n}",
            "test_list": [f"assert add({x}) == {x + n}" for x in range(3)],
            "test_setup_code": "",
        }
        for n in range(start, start + 5)
    ]


def _reading(start: int) -> Rows:
    return [
        {
            "id": f"{language}-{n}",
            "title": "t",
            "context": f"The tower has {n} steps.",
            "question": f"How many steps in {language}?",
            "answers": {"text": [str(n)], "answer_start": [14]},
        }
        for language in LANGUAGES
        for n in range(start, start + (4 if language == "english" else 3))
    ]
