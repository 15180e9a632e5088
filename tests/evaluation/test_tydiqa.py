"""TyDiQA's score: SQuAD's F1 and exact match."""

from __future__ import annotations

import pytest

from rho1bench.evaluation.tasks.tydiqa_scoring import results, squad_f1


@pytest.mark.parametrize(
    ("said", "gold", "f1"),
    [
        ("1889", "1889", 1.0),
        (" The Tower.", "tower", 1.0),
        ("U.S.", "us", 1.0),
        ("in the year 1889", "in 1889", 0.8),
        ("red red blue", "red green", 0.4),
        ("red blue", "green", 0.0),
        ("", "x", 0.0),
        ("красная площадь", "Красная", 2 / 3),
        ("площадь»", "площадь", 0.0),
    ],
)
def test_squad_f1(said: str, gold: str, f1: float):
    assert squad_f1(said, gold) == pytest.approx(f1)
    assert squad_f1(gold, said) == pytest.approx(f1)


def test_the_best_gold_answer_counts():
    doc = {"answers": ["the year 1889", "1889"]}
    assert results(doc, [" 1889."]) == {"f1": 1.0, "exact_match": 1.0}
    assert results(doc, ["1889 or so"]) == {"f1": pytest.approx(0.5), "exact_match": 0.0}
