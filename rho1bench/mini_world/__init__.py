"""The embedded mini world: a seeded source of problems, corpora and test sets that needs no download.

Stands in for the paper's data in the quickstart (paper sections 3.1, 3.2): `clean_documents` for the curated corpus
of the reference model, `web_documents` for the raw pretraining corpus, `sft_samples` for fine-tuning, `general_rows`
for the general suite, and `make_problems(task, "test", ...)` for the nine math tasks and gsm_hard. Train and test
questions are disjoint: the split is a hash of the question itself. Pure standard library; the same arguments give the
same text anywhere.

Its axes, each a parameter of the source `mini_world` in a recipe: how much of a web page is noise (`noise_share`), of
which kinds (`noise_kinds`), how many curated documents there are (`num_documents`), and which part of the tested world
they show (`coverage`). The defaults are half noise, a mixture of eleven kinds, and everything.
"""

from __future__ import annotations

from rho1bench.mini_world.coverage import EVERYTHING, Coverage
from rho1bench.mini_world.documents import MATH_KIND, WRONG_NUMBER_KIND, Document, Span, clean_documents, web_documents
from rho1bench.mini_world.general import GENERAL_TASKS, general_rows
from rho1bench.mini_world.noise import NOISE_KINDS, WEB_MIXTURE, NoiseKind
from rho1bench.mini_world.problem import (
    COT_STOP,
    EXEMPLAR_SEPARATOR,
    Problem,
    Split,
    cot_prompt,
    cot_text,
    question_prompt,
    split_of,
)
from rho1bench.mini_world.problems import MATH_TASKS, TOOL_TASKS, draw_problem, exemplars, make_problems
from rho1bench.mini_world.sft import SftSample, cot_sample, sft_samples, tir_prompt, tir_sample

__all__ = [
    "COT_STOP",
    "EVERYTHING",
    "EXEMPLAR_SEPARATOR",
    "GENERAL_TASKS",
    "MATH_KIND",
    "MATH_TASKS",
    "NOISE_KINDS",
    "TOOL_TASKS",
    "WEB_MIXTURE",
    "WRONG_NUMBER_KIND",
    "Coverage",
    "Document",
    "NoiseKind",
    "Problem",
    "SftSample",
    "Span",
    "Split",
    "clean_documents",
    "cot_prompt",
    "cot_sample",
    "cot_text",
    "draw_problem",
    "exemplars",
    "general_rows",
    "make_problems",
    "question_prompt",
    "sft_samples",
    "split_of",
    "tir_prompt",
    "tir_sample",
    "web_documents",
]
