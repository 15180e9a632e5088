"""Figures of what losses do over training: the four classes (3, 10 to 12), losses (6), accuracies (7 and 9)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from rho1bench.analysis.drawing import (
    PASSAGE_HEADER,
    AnalysisFigure,
    Rows,
    against_tokens,
    line_chart,
    made,
    passage_values,
    percent_tick,
    short,
    shown_passage,
)
from rho1bench.analysis.dynamics import CHANGE, CLASSES
from rho1bench.analysis.results import AccuracyByLoss, AccuracyByRatio, ClassDynamics, Fit, SplitLosses
from rho1bench.rendering import numbers as fmt
from rho1bench.rendering.line_chart import PANEL, WIDE, Chart, Series
from rho1bench.rendering.token_text import PLAIN, TokenText

GROUNDS = ("g0", "g2", "g1", "g3")
"""Of the four classes."""
_STYLES = (0, 2, 1, 3)


def class_figures(found: ClassDynamics) -> Iterator[AnalysisFigure]:
    """Yield the figures of one stage's token dynamics."""
    name = fmt.label_name(found.stage)
    yield _classes(found, name)
    if found.restless:
        yield _restless(found, name)
    headed = [(f"Block {passage.block}", passage) for passage in found.passages]
    yield made(
        f"figure-11-{found.stage}",
        TokenText(
            f"Tokens of the four classes, {name}",
            "Each token on the ground of its class.",
            [shown_passage(heading, passage, GROUNDS, CLASSES) for heading, passage in headed],
            list(zip(GROUNDS, CLASSES, strict=True)),
        ),
        PASSAGE_HEADER,
        passage_values(headed, CLASSES),
        "As figure 11 of the paper. The passages are the first of the text and one in its middle, not chosen for their "
        "looks. Point at a token for its class and last loss.",
    )
    yield _jumps(found, name)


def _classes(found: ClassDynamics, name: str) -> AnalysisFigure:
    series = [
        Series(f"{label} {fmt.percent(share, 0)}%", style, points, markers=True)
        for label, share, means, style in zip(CLASSES, found.shares, found.means, _STYLES, strict=True)
        if (points := against_tokens(found.places, means))
    ]
    values: Rows = [
        [label, share, *means] for label, share, means in zip(CLASSES, found.shares, found.means, strict=True)
    ]
    header = ["class", "share", *(f"loss at {fmt.short_count(place.tokens)}" for place in found.places)]
    return made(
        f"figure-3-{found.stage}",
        line_chart(f"Mean loss of the four classes, {name}", series, "nats"),
        header,
        values,
        "As figures 3 and 10 of the paper: a line is drawn through each token's losses; it falls by more than "
        f"{CHANGE} nats ({CLASSES[0]}), rises by more ({CLASSES[3]}), or stays, below the mean ({CLASSES[1]}) or above "
        f"it ({CLASSES[2]}). {fmt.count(found.num_tokens)} tokens at {len(found.places)} checkpoints. The paper, for "
        "TinyLlama on OpenWebMath: 26, 51, 11 and 12%.",
    )


def _restless(found: ClassDynamics, name: str) -> AnalysisFigure:
    series = [
        Series(f"{CLASSES[line.token_class]} {line.token.strip()[:3]}", place, points, markers=True)
        for place, line in enumerate(found.restless)
        if (points := against_tokens(found.places, line.losses))
    ]
    header = ["token", "after", "class", *(f"loss at {fmt.short_count(place.tokens)}" for place in found.places)]
    values: Rows = [[line.token, line.before, CLASSES[line.token_class], *line.losses] for line in found.restless]
    return made(
        f"figure-3-restless-{found.stage}",
        line_chart(f"Tokens whose losses waver most, {name}", series, "nats"),
        header,
        values,
        "As figures 3b and 3c: of the tokens that stay low and of those that stay high, the two whose losses lie "
        "furthest from their lines.",
    )


def _jumps(found: ClassDynamics, name: str) -> AnalysisFigure:
    words = ("as before", "jumped")
    headed = [(f"Block {passage.block}", passage) for passage in found.jumps]
    return made(
        f"figure-12-{found.stage}",
        TokenText(
            f"Tokens whose last loss is out of line, {name}",
            f"{fmt.percent(found.share_of_jumps)}% of all tokens.",
            [shown_passage(heading, passage, (PLAIN, "g1"), words) for heading, passage in headed],
            [("g1", f"last loss {found.jump:g} nat or more above the mean of those before")],
        ),
        PASSAGE_HEADER,
        passage_values(headed, words),
        f"As figure 12 of the paper: {fmt.percent(found.share_of_jumps)}% of the tokens have such a last loss.",
    )


def loss_figures(losses: Sequence[SplitLosses], chooser: str) -> Iterator[AnalysisFigure]:
    """Yield the panels of figure 6, on one fixed set of tokens."""
    name = fmt.label_name(chooser)
    parts: tuple[tuple[Literal["selected", "unselected"], str], ...] = (
        ("selected", f"Loss of the tokens that {name} keeps"),
        ("unselected", f"Loss of the tokens that {name} leaves out"),
    )
    for part, title in parts:
        series = [
            Series(fmt.label_name(one.stage), style, points, markers=True)
            for style, one in enumerate(losses)
            if (points := against_tokens(one.places, one.selected if part == "selected" else one.unselected))
        ]
        if series:
            yield made(
                f"figure-6-fixed-{part}",
                line_chart(title, series, "nats", panel=True),
                ("stage", "tokens", "loss"),
                [[s.name, int(x), y] for s in series for x, y in s.points],
                "",
                is_panel=True,
            )
    held_out = [Series(fmt.label_name(one.stage), style, one.downstream) for style, one in enumerate(losses)]
    held_out = [one for one in held_out if one.points]
    if held_out:
        yield made(
            "figure-6-downstream",
            line_chart("Loss on held-out text", held_out, "nats", panel=True),
            ("stage", "tokens", "loss"),
            [[s.name, int(x), y] for s in held_out for x, y in s.points],
            "",
            is_panel=True,
        )


def accuracy_figures(found: AccuracyByLoss) -> Iterator[AnalysisFigure]:
    """Yield the panels of figure 7; without a fit where there are too few points."""
    fits = {fit.of: fit for fit in found.fits}
    for part in ("selected", "unselected"):
        stages = list(dict.fromkeys(point.stage for point in found.points))
        series = [
            Series(
                fmt.label_name(stage),
                style,
                [
                    (loss, point.accuracy)
                    for point in found.points
                    if point.stage == stage
                    and (loss := point.selected if part == "selected" else point.unselected) is not None
                ],
                joined=False,
            )
            for style, stage in enumerate(stages)
        ]
        series = [one for one in series if one.points]
        if series:
            yield _accuracy(found, part, series, fits.get("selected" if part == "selected" else "unselected"))


def _accuracy(found: AccuracyByLoss, part: str, series: Sequence[Series], fit: Fit | None) -> AnalysisFigure:
    drawn, words = list(series), "no fit"
    if fit is not None:
        line = [(loss, accuracy) for loss, accuracy, _, _ in fit.curve]
        drawn.append(Series("fit", 3, line, band=[(loss, low, high) for loss, _, low, high in fit.curve]))
        words = f"a = {fit.a:.3g} ({fit.a_ci[0]:.3g} to {fit.a_ci[1]:.3g}), c = {fit.c:.3g} ({fit.c_ci[0]:.3g} to "
        words += f"{fit.c_ci[1]:.3g}), R² = {fit.r_squared:.2f}, {fit.num_points} points"
    title = f"Accuracy on {found.suite} against {part} loss"
    chart = Chart(title, f"{words}.", "nats", "% correct", drawn, short, percent_tick, size=PANEL)
    values: Rows = [[s.name, loss, accuracy] for s in series for loss, accuracy in s.points]
    caption = f"Acc = log(a L + c): {words}." if fit else "Too few points for a fit."
    return made(f"figure-7-{part}", chart, ("stage", "loss", "accuracy"), values, caption, is_panel=True)


def ratio_figure(found: AccuracyByRatio) -> AnalysisFigure:
    """Return figure 9: the mean over seeds at each ratio, and the range of seeds."""
    means = [(point.ratio, sum(point.accuracies.values()) / len(point.accuracies)) for point in found.points]
    band = [(point.ratio, min(point.accuracies.values()), max(point.accuracies.values())) for point in found.points]
    ranges = band if any(len(point.accuracies) > 1 for point in found.points) else []
    best = max(means, key=lambda point: point[1])
    title = f"Accuracy on {found.suite} against the ratio of selected tokens"
    words = f"Highest at {fmt.percent(best[0], 0)}% with {fmt.percent(best[1])}% correct."
    series = [Series(found.rule, 0, means, band=ranges, markers=True)]
    chart = Chart(title, words, "% selected", "% correct", series, percent_tick, percent_tick, size=WIDE)
    values: Rows = [[point.ratio, stage, value] for point in found.points for stage, value in point.accuracies.items()]
    caption = "As figure 9 of the paper. 100% is the stage of the same matrix that selects nothing."
    return made("figure-9", chart, ("ratio", "stage", "accuracy"), values, f"{caption} Band: lowest to highest seed.")
