"""How answers to TyDiQA's questions are scored: SQuAD's F1 and exact match (paper section 3.3, open-instruct's way).

Named by tasks/rho1/general/_rho1_tydiqa.yaml as ``process_results``.
"""

from __future__ import annotations

import re
import string
from collections import Counter

from rho1bench.evaluation.harness.lm_eval_types import Doc

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def results(doc: Doc, completions: list[str]) -> dict[str, float]:
    """Return the best F1 and exact match over the gold answers, as fractions."""
    said = _words(completions[0])
    golds = [_words(answer) for answer in doc["answers"]]
    return {"f1": max(_f1(said, gold) for gold in golds), "exact_match": float(said in golds)}


def squad_f1(said: str, gold: str) -> float:
    """Return the F1 of the words of ``said`` against those of ``gold``, without case, punctuation and English articles.

    Only ASCII punctuation counts as such, in every language, and words are what blanks separate: SQuAD's rules.
    """
    return _f1(_words(said), _words(gold))


def _f1(said: list[str], gold: list[str]) -> float:
    common = (Counter(said) & Counter(gold)).total()
    return 2 * common / (len(said) + len(gold)) if common else 0.0


def _words(text: str) -> list[str]:
    return re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(_PUNCTUATION)).split()
