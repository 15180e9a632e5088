"""Sizes of the paper's test sets, for the plan: questions, and how long prompts and answers are, in tokens.

Questions are counted (``rho1bench tasks list`` shows the same). Lengths are means: prompts of samples of 30 questions,
exemplars included, at 2.7 characters a token in mathematics (985 tokens a prompt were counted over 10,157 requests of
``rho1_math9`` by the tokenizer of SmolLM2) and 4 elsewhere. Answers have the 172 tokens that SmolLM2-135M wrote on
average there, and in dialogues with tools 250, as the interpreter model released with the paper (some 700 characters).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_COT, _TOOLS = 172, 250


@dataclass(frozen=True)
class TaskSize:
    """One benchmark; ``requests`` are the options of a question, or the answers that are sampled."""

    rows: int
    prompt: int
    """Tokens of a request."""
    answer: int = 0
    """Tokens that are generated; none where the likelihoods of options are compared."""
    requests: float = 1


TASK_SIZES: Mapping[str, TaskSize] = {
    "rho1_gsm8k_cot": TaskSize(1319, 930, _COT),
    "rho1_math500_cot": TaskSize(500, 740, _COT),
    "rho1_svamp_cot": TaskSize(1000, 900, _COT),
    "rho1_asdiv_cot": TaskSize(2215, 900, _COT),
    "rho1_mawps_cot": TaskSize(2065, 890, _COT),
    "rho1_tabmwp_cot": TaskSize(1000, 950, _COT),
    "rho1_mathqa_cot": TaskSize(1000, 1650, _COT),
    "rho1_mmlu_stem_cot": TaskSize(3018, 940, _COT),
    "rho1_sat_cot": TaskSize(32, 970, _COT),
    "rho1_gsm8k_tir": TaskSize(1319, 100, _TOOLS),
    "rho1_math500_tir": TaskSize(500, 60, _TOOLS),
    "rho1_svamp_tir": TaskSize(1000, 75, _TOOLS),
    "rho1_asdiv_tir": TaskSize(2215, 65, _TOOLS),
    "rho1_mawps_tir": TaskSize(2065, 60, _TOOLS),
    "rho1_tabmwp_tir": TaskSize(1000, 120, _TOOLS),
    "rho1_gsm_hard_tir": TaskSize(1319, 100, _TOOLS),
    "rho1_mmlu": TaskSize(14042, 630, requests=4),
    "rho1_bbh": TaskSize(6511, 790, _COT),
    "rho1_agieval": TaskSize(3852, 390, requests=4),
    "rho1_arc_easy": TaskSize(2376, 33, requests=4),
    "rho1_arc_challenge": TaskSize(1172, 34, requests=4),
    "rho1_boolq": TaskSize(3270, 180, requests=2),
    "rho1_piqa": TaskSize(1838, 13, requests=2),
    "rho1_hellaswag": TaskSize(10042, 34, requests=4),
    "rho1_winogrande": TaskSize(1267, 21, requests=2),
    "rho1_openbookqa": TaskSize(500, 13, requests=4),
    "rho1_humaneval": TaskSize(164, 140, _COT, requests=21),
    "rho1_mbpp": TaskSize(500, 460, _COT, requests=21),
    "rho1_tydiqa": TaskSize(5077, 270, 20),
}
