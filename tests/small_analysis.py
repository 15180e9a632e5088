"""An analysis with every part, from a few numbers: so that figures, pages and report can be seen without a run.

``python tests/small_analysis.py FOLDER`` writes it and its page, to look at.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rho1bench.analysis.files import write_analysis
from rho1bench.analysis.results import (
    AccuracyAt,
    AccuracyByLoss,
    AccuracyByRatio,
    Agreement,
    Analysis,
    Choices,
    ChosenPerplexity,
    ClassDynamics,
    Fit,
    GroupRate,
    Histogram,
    KeptAt,
    Moment,
    Passage,
    Place,
    RatioPoint,
    SplitLosses,
    TokenLine,
)

PLACES = [Place(step=step, tokens=1000 * step) for step in (0, 50, 100)]
PIECES = ["<s>", "Ben", " has", " 7", " <balls>", ".", "\n\n", "你", "好"]


def passage(*marks: int) -> Passage:
    losses = [None, *(0.5 * place for place in range(1, len(PIECES)))]
    return Passage(block=3, pieces=PIECES, marks=[-1, *(marks * 8)[:8]], losses=losses)


def rates(*names: str) -> list[GroupRate]:
    return [GroupRate(name=name, num_tokens=10 * (place + 1), num_kept=4) for place, name in enumerate(names)]


def choices(*, planted: bool) -> Choices:
    return Choices(
        stage="slm",
        rule="excess_loss",
        ratio=0.6,
        num_tokens=100,
        num_kept=60,
        by_position=rates("1–4", "5–8"),
        by_frequency=rates("1–3 times", "4–15 times"),
        by_kind=rates("word", "number"),
        planted=rates("math", "wrong_number", "byline") if planted else [],
        over_training=[KeptAt(place=at, share=0.6, by_kind={"word": 0.5, "number": 0.7}) for at in PLACES],
        kept_in_training=[(50000.0, 0.6)],
        moments=[Moment(place=at, share=at.step / 100, passages=[passage(0, 1, 2, 3, 4)]) for at in PLACES],
        selected=[passage(0, 1)],
        agreement=Agreement(
            rules=["excess_loss", "reference_entropy"],
            ratio=0.6,
            in_common=[[1.0, 0.8], [0.8, 1.0]],
            correlation=[[1.0, None], [None, 1.0]],
        ),
        histogram=Histogram(edges=[-1.0, 0.0, 1.0], places=[PLACES[0], PLACES[-1]], counts=[[60, 40], [90, 10]]),
        perplexity=ChosenPerplexity(stage="slm", places=PLACES, perplexities=[[4.0, 3.0, 2.0]] * 3),
    )


def analysis(*, planted: bool = True) -> Analysis:
    """``planted``: of a mini world."""
    dynamics = ClassDynamics(
        stage="slm",
        places=PLACES,
        shares=[0.25, 0.5, 0.25, 0.0],
        means=[[3.0, 2.0, 1.0], [0.5, 0.5, 0.5], [4.0, 4.5, 4.0], [None] * 3],
        num_tokens=100,
        restless=[TokenLine(token=" 7", before="Ben has", token_class=1, losses=[1.0, 2.0, 1.0])],
        passages=[passage(0, 1, 2, 3)],
        jumps=[passage(0, 1)],
        jump=1.0,
        share_of_jumps=0.02,
    )
    points = [
        AccuracyAt(stage="slm", tokens=1000 * step, accuracy=accuracy, selected=loss, unselected=2.0)
        for step, accuracy, loss in ((0, 0.1, 1.0), (50, 0.2, 0.8), (100, 0.35, 0.5))
    ]
    fit = Fit(
        of="selected",
        a=-0.5,
        a_ci=(-0.7, -0.3),
        c=1.6,
        c_ci=(1.4, 1.8),
        r_squared=0.9,
        num_points=3,
        curve=[(0.5, 0.3, 0.2, 0.4), (1.0, 0.1, 0.0, 0.2)],
    )
    split = {"places": PLACES, "selected": [1.0, 0.8, 0.5], "unselected": [2.0, 2.0, 2.0], "downstream": [(0.0, 2.0)]}
    ratios = [RatioPoint(ratio=0.6, accuracies={"a": 0.3, "b": 0.4}), RatioPoint(ratio=1.0, accuracies={"c": 0.2})]
    return Analysis(
        recipe="small",
        seed=0,
        corpus="web",
        num_blocks=2,
        num_tokens=100,
        is_training_text=True,
        dynamics=[dynamics],
        choices=choices(planted=planted),
        losses=[SplitLosses.model_validate({"stage": "slm", **split})],
        accuracy_by_loss=AccuracyByLoss(suite="mini_math9", num_documents=24, points=points, fits=[fit]),
        accuracy_by_ratio=AccuracyByRatio(suite="mini_math9", rule="excess_loss", points=ratios),
        notes=["clm has one checkpoint only, so nothing can be said of its way."],
    )


if __name__ == "__main__":
    write_analysis(Path(sys.argv[1]), analysis())
