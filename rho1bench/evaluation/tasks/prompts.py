"""Prompt texts of the real math tasks by the paper's protocol (section 3.2, appendix E and the authors' harness).

Between ``data.pinned_files`` (rows) and ``math_tasks`` (lm-eval's documents). Tests pin every text by a hash.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from typing import Any

from rho1bench.mini_world import EXEMPLAR_SEPARATOR

Row = Mapping[str, Any]

EXEMPLARS = {
    "gsm8k": "gsm8k",
    "math": "minerva_math",
    "svamp": "gsm8k",
    "asdiv": "gsm8k",
    "mawps": "gsm8k",
    "tabmwp": "gsm8k",
    "mathqa": "mathqa",
    "mmlu_stem": "mmlu_stem",
    "sat_math": "mmlu_stem",
}
"""The exemplar file of each few-shot data set."""

ASK_FOR_OPTION = "\nWhat of the following is the right choice? Explain your answer.\n"
_TWO_ANSWERS = {"true": " (True or False)", "false": " (True or False)", "yes": " (Yes or No)", "no": " (Yes or No)"}


def question_text(row: Row, data_set: str, paper_gold: str) -> str:
    """Return the question of a test row as the model reads it; a gold answer of yes, no, true or false is hinted at."""
    return (_QUESTIONS[data_set](row) + _TWO_ANSWERS.get(paper_gold.lower(), "")).strip()


def cot_prompt(question: str, data_set: str) -> str:
    """Return the question with the labels of its exemplar file, ready to be continued."""
    if EXEMPLARS[data_set] == "gsm8k":
        return f"Question: {question}\nAnswer:"
    return f"Problem:\n{question}\nSolution:"


def tool_prompt(question: str) -> str:
    """Return the dialogue that a model after SFT continues; no exemplars."""
    return f"<|user|>\n{question}\n<|assistant|>\n"


def split_exemplars(text: str) -> list[tuple[str, str]]:
    """Split an exemplar file into prompts and solutions; joined again they give the stripped file.

    Raises:
        ValueError: an exemplar has no ``Answer:`` or ``Solution:``.
    """
    pairs = []
    for exemplar in text.strip().split(EXEMPLAR_SEPARATOR):
        label = re.search(r"\n(?:Answer|Solution):", exemplar)
        if label is None:
            raise ValueError(f"an exemplar without 'Answer:' or 'Solution:': {exemplar[:60]!r}")
        pairs.append((exemplar[: label.end()], exemplar[label.end() :]))
    return pairs


def _two_fields(row: Row) -> str:
    return f"{row['body'].strip()} {row['question'].strip()}"


def _story_and_question(row: Row) -> str:
    """SVAMP: some stories lack their full stop."""
    story = row["Body"].strip()
    return f"{story}{'' if story.endswith('.') else '.'} {row['Question'].strip()}"


def _table_question(row: Row) -> str:
    """TabMWP: the table with its title, the question, and the options as Python writes a list."""
    title = f'regarding "{row["table_title"]}" ' if row["table_title"] else ""
    options = f" Please select from the following options: {row['choices']}" if row["choices"] else ""
    return f"Read the following table {title}and answer a question:\n{row['table']}\n{row['question']}{options}"


def _option_question(row: Row) -> str:
    """MathQA: the options are one text, ``a ) 12 , b ) 16``, or a list in Python's writing; some repeat their label."""
    problem, options = row["problem"], row["options"].strip()
    if options.startswith("["):
        options = ", ".join(ast.literal_eval(options))
    relabelled = re.sub(
        r"(^|, )([a-e]) \) (?:\2 \) )?", lambda m: f"{m[1]}({m[2].upper()}) ", options.replace(" , ", ", ")
    )
    return f"{(problem[0].upper() + problem[1:]).strip()}{ASK_FOR_OPTION}{relabelled}"


def _listed_options(row: Row) -> str:
    """MMLU-STEM: four options, a list of texts."""
    options = ", ".join(f"({letter}) {option.strip()}" for letter, option in zip("ABCD", row["choices"], strict=True))
    return f"{row['question'].strip()}{ASK_FOR_OPTION}{options}"


def _written_options(row: Row) -> str:
    """SAT: the options are one text, ``A) 3 B) 4``; where it is ``A. 3 B. 4``, only the first gets its parenthesis."""
    options = "(" + re.sub(r"(?<= )([B-G]\) )", r"(\1", row["options"].strip())
    return f"{row['question'].strip()}{ASK_FOR_OPTION}{options}"


_QUESTIONS: dict[str, Callable[[Row], str]] = {
    "gsm8k": lambda row: str(row["question"]),
    "math": lambda row: str(row["problem"]),
    "svamp": _story_and_question,
    "asdiv": _two_fields,
    "mawps": lambda row: str(row["input"]),
    "tabmwp": _table_question,
    "mathqa": _option_question,
    "mmlu_stem": _listed_options,
    "sat_math": _written_options,
    "gsm_hard": lambda row: str(row["input"]),
}
