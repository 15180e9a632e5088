"""A data folder of invented rows in the shape of the ten real data sets, and the pins that fit it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from rho1bench.evaluation.data.diagnose import line_hashes
from rho1bench.evaluation.data.math_sets import EXEMPLAR_FILES, MATH_SETS, PinnedFile
from rho1bench.system.files import sha256_bytes

TABLE = {"unit": None, "table_title": None, "table": "Day | Cups\nMonday | 4\nFriday | 9", "choices": None}

ROWS: dict[str, list[dict[str, Any]]] = {
    "gsm8k": [
        {"question": f"Ana has {n} plums and buys 2. How many now?", "answer": f"{n}+2\n#### {n + 2}", "idx": n}
        for n in range(5)
    ],
    "math": [
        {"problem": "Find {{x}} in $2x=1$.", "solution": r"So $x=\boxed{\dfrac{1}{2}}$.", "answer": r"\dfrac{1}{2}"},
        {"problem": "Solve $x^2<4$.", "solution": r"Thus \boxed{x \in (-2,2)}.", "answer": r"x \in (-2,2)"},
    ],
    "svamp": [
        {"Body": "Bo had 9 pens and lost 4 ", "Question": " How many are left?", "Answer": 5.0, "idx": 0},
        {"Body": "Bo had 9 pens.", "Question": "How many in all?", "Answer": 9.0, "idx": 1},
    ],
    "asdiv": [
        {
            "body": "The film began at 2:10 p.m. ",
            "question": "When, in an hour?",
            "answer": "3:10 p.m. (time)",
            "idx": 0,
        },
        {"body": "Al has 3 caps.", "question": " How many?", "answer": "3 (caps)", "idx": 1},
    ],
    "mawps": [{"input": " Kim has 4 shells . How many ?", "target": 4.0, "idx": 0}],
    "tabmwp": [
        {"idx": "7", **TABLE, "question": "How many on Friday?", "answer": "9", "ans_type": "integer_number"},
        {
            "idx": "12",
            **TABLE,
            "question": "More on Monday than on Friday – right?",
            "choices": ["yes", "no"],
            "answer": "no",
            "ans_type": "boolean_text",
            "table_title": "Café",
        },
    ],
    "mathqa": [
        {"problem": "what is 2 + 3 ?", "options": "a ) 5 , b ) 1 , 000 , c ) 7", "correct": "a"},
        {"problem": "what is 2 * 3 ?", "options": "['a ) a ) 5 cm', 'b ) b ) 6 cm']", "correct": "b"},
    ],
    "mmlu_stem": [{"question": " Which is odd?", "choices": ["2", " 3", "4", "6 "], "answer": 1, "type": "algebra"}],
    "sat_math": [
        {"question": "What is $x$?", "options": "A) 1 B) 2 C) 3 D) 4", "Answer": "C", "id": "0"},
        {"question": "What is $y$?", "options": "A. 1 B. 2", "Answer": "A", "id": "1"},
    ],
    "gsm_hard": [{"input": "Ana has 5000001 plums. How many?", "target": 5000001.0, "idx": 0}],
}

QUESTIONS: dict[str, list[str]] = {
    "gsm8k": [f"Ana has {n} plums and buys 2. How many now?" for n in range(5)],
    "math": ["Find {{x}} in $2x=1$.", "Solve $x^2<4$."],
    "svamp": ["Bo had 9 pens and lost 4. How many are left?", "Bo had 9 pens. How many in all?"],
    "asdiv": ["The film began at 2:10 p.m. When, in an hour?", "Al has 3 caps. How many?"],
    "mawps": ["Kim has 4 shells . How many ?"],
    "tabmwp": [
        "Read the following table and answer a question:\nDay | Cups\nMonday | 4\nFriday | 9\nHow many on Friday?",
        'Read the following table regarding "Café" and answer a question:\n'
        "Day | Cups\nMonday | 4\nFriday | 9\nMore on Monday than on Friday – right? "
        "Please select from the following options: ['yes', 'no'] (Yes or No)",
    ],
    "mathqa": [
        "What is 2 + 3 ?\nWhat of the following is the right choice? Explain your answer.\n(A) 5, (B) 1, 000, (C) 7",
        "What is 2 * 3 ?\nWhat of the following is the right choice? Explain your answer.\n(A) 5 cm, (B) 6 cm",
    ],
    "mmlu_stem": [
        "Which is odd?\nWhat of the following is the right choice? Explain your answer.\n(A) 2, (B) 3, (C) 4, (D) 6"
    ],
    "sat_math": [
        "What is $x$?\nWhat of the following is the right choice? Explain your answer.\n(A) 1 (B) 2 (C) 3 (D) 4",
        "What is $y$?\nWhat of the following is the right choice? Explain your answer.\n(A. 1 B. 2",
    ],
    "gsm_hard": ["Ana has 5000001 plums. How many?"],
}
"""The questions that the protocol makes of ``ROWS``."""

_QUESTION = "Question: What is {n}+1?\nAnswer: It is {m}. The answer is {m}."
_PROBLEM = "Problem:\nWhat is {n}+1?\nSolution:\nIt is {m}.\nFinal Answer: The final answer is {m}."


def _exemplars(name: str) -> str:
    count, pattern = (8, _QUESTION) if name == "gsm8k" else (4, _PROBLEM)
    return "\n\n\n".join(pattern.format(n=n, m=n + 1) for n in range(count)) + "\n\n"


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8")


def contents() -> dict[str, bytes]:
    """The files of the folder by place."""
    files = {f"math/{name}/test.jsonl": lines(rows) for name, rows in ROWS.items()}
    return files | {f"prompts/cot/{name}.md": _exemplars(name).encode() for name in EXEMPLAR_FILES}


def public_files() -> dict[str, bytes]:
    """The same files by their paths on the server."""
    problems = {row["idx"]: {k: v for k, v in row.items() if k != "idx"} for row in ROWS["tabmwp"]}
    files = contents()
    pins = [*(math_set.file for math_set in MATH_SETS.values()), *EXEMPLAR_FILES.values()]
    public = {pin.url_path: files[pin.place] for pin in pins}
    return public | {MATH_SETS["tabmwp"].file.url_path: json.dumps(problems, indent=2).encode()}


def write_folder(folder: Path) -> Path:
    for place, data in contents().items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(data)
    return folder


def pin(monkeypatch: Any) -> None:
    """Pin the invented files instead of the real ones."""
    files, public = contents(), public_files()

    def pinned(file: PinnedFile) -> PinnedFile:
        hashes = {"sha256": sha256_bytes(files[file.place]), "download_sha256": sha256_bytes(public[file.url_path])}
        return dataclasses.replace(file, **hashes)

    for name, math_set in MATH_SETS.items():
        fitting = dataclasses.replace(math_set, num_rows=len(ROWS[name]), file=pinned(math_set.file))
        monkeypatch.setitem(MATH_SETS, name, fitting)
    for name, file in EXEMPLAR_FILES.items():
        monkeypatch.setitem(EXEMPLAR_FILES, name, pinned(file))
    hashes = {place: line_hashes(data) for place, data in files.items()}
    monkeypatch.setattr("rho1bench.evaluation.data.diagnose._pinned_hashes", lambda: hashes)
