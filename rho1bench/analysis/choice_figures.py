"""Figures of what a selection keeps: in text (13, 14), its perplexity (8), by group of token, beside other rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

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
from rho1bench.analysis.results import Agreement, Choices, ChosenPerplexity, GroupRate, Histogram
from rho1bench.rendering import numbers as fmt
from rho1bench.rendering.bar_chart import Bar, BarChart
from rho1bench.rendering.cell_map import CellMap, MapCell, Panel
from rho1bench.rendering.line_chart import NUM_STYLES, WIDE, Chart, Series
from rho1bench.rendering.token_text import PLAIN, TokenText

LEVELS = ("lowest fifth", "second fifth", "middle fifth", "fourth fifth", "highest fifth")
_LEVEL_GROUNDS = ("l0", "l1", "l2", "l3", "l4")
_KEPT = ("left out", "kept")


def text_figures(found: Choices) -> Iterator[AnalysisFigure]:
    """Yield figures 13 and 14."""
    name = fmt.label_name(found.stage)
    headed = [(f"Block {passage.block}", passage) for passage in found.selected]
    yield made(
        "figure-13",
        TokenText(
            f"What {name} keeps at its end",
            f"{_share(found.num_kept, found.num_tokens)} of the tokens are kept.",
            [shown_passage(heading, passage, (PLAIN, "g0"), _KEPT) for heading, passage in headed],
            [("g0", "kept: its loss is trained on"), (PLAIN, "left out: context only")],
        ),
        PASSAGE_HEADER,
        passage_values(headed, _KEPT),
        "As figure 13 of the paper. The passages are the first of the text and one in its middle.",
    )
    moments = [
        (f"After {fmt.percent(moment.share, 0)}% of training", passage)
        for moment in found.moments
        for passage in moment.passages
    ]
    yield made(
        "figure-14",
        TokenText(
            f"How the preference of {name} moves",
            f"One passage at {len(moments)} moments of training.",
            [shown_passage(heading, passage, _LEVEL_GROUNDS, LEVELS) for heading, passage in moments],
            list(zip(_LEVEL_GROUNDS, ("lowest", "low", "middle", "high", "highest fifth"), strict=True)),
        ),
        PASSAGE_HEADER,
        passage_values(moments, LEVELS),
        "As figure 14 of the paper: the fifths of the ranking over the whole text, at the checkpoints nearest to 0, "
        "33, 66 and 100% of training.",
    )


def perplexity_figure(found: ChosenPerplexity) -> AnalysisFigure:
    """Return figure 8; at most four choosers are drawn, all stand in the table."""
    count = len(found.places)
    drawn = sorted({round(index * (count - 1) / (NUM_STYLES - 1)) for index in range(NUM_STYLES)})
    series = [
        Series(f"at {fmt.short_count(found.places[place].tokens)}", style, points, markers=True)
        for style, place in enumerate(drawn)
        if (points := against_tokens(found.places, found.perplexities[place]))
    ]
    values: Rows = [[at.tokens, *row] for at, row in zip(found.places, found.perplexities, strict=True)]
    return made(
        "figure-8",
        line_chart(
            f"Perplexity of the tokens that each checkpoint of {fmt.label_name(found.stage)} keeps", series, "PPL"
        ),
        ["chosen at", *(f"measured at {fmt.short_count(place.tokens)}" for place in found.places)],
        values,
        "As figure 8 of the paper: what the checkpoint after so many tokens would keep, measured at every checkpoint.",
    )


def rate_figures(found: Choices) -> Iterator[AnalysisFigure]:
    """Yield the keep rates by kind, frequency and place of the token, and on planted spans."""
    whole = found.num_kept / found.num_tokens
    for name, title, rates, caption in (
        ("kind", "Kept, by kind of token", found.by_kind, "Kinds are told from the text itself."),
        ("frequency", "Kept, by frequency", found.by_frequency, "How often the same token occurs in this text."),
        ("position", "Kept, by place in the block", found.by_position, "A token at place 1 has one before it."),
        ("planted", "Kept, on spans that the corpus planted", found.planted, "Spans as the mini world names them."),
    ):
        if rates:
            yield _rates(f"kept-by-{name}", title, rates, whole, caption)


def _rates(name: str, title: str, rates: Sequence[GroupRate], whole: float, caption: str) -> AnalysisFigure:
    bars = [
        Bar(one.name.replace("_", " "), one.num_kept / one.num_tokens, f"{one.name}: {_counted(one)}") for one in rates
    ]
    described = "; ".join(f"{bar.name} {fmt.percent(bar.value, 0)}%" for bar in bars)
    rule = (whole, f"all {fmt.percent(whole, 0)}%")
    chart = BarChart(title, f"{described}.", bars, lambda value: f"{fmt.percent(value, 0)}%", rule)
    values: Rows = [[one.name, one.num_tokens, one.num_kept, one.num_kept / one.num_tokens] for one in rates]
    return made(name, chart, ("group", "tokens", "kept", "rate"), values, caption, is_panel=True)


def _counted(one: GroupRate) -> str:
    return f"{fmt.count(one.num_kept)} of {fmt.count(one.num_tokens)} kept"


def _share(part: int, whole: int) -> str:
    return f"{fmt.percent(part / whole if whole else 0.0, 0)}%"


def over_training_figure(found: Choices) -> AnalysisFigure:
    """Return the share kept at each checkpoint: of all tokens, and of the three commonest kinds."""
    sizes = Counter({one.name: one.num_tokens for one in found.by_kind})
    kinds = [name for name, _ in sizes.most_common(NUM_STYLES - 1)]
    places = [at.place for at in found.over_training]
    series = [Series("all", 0, against_tokens(places, [at.share for at in found.over_training]), markers=True)]
    for style, kind in enumerate(kinds, start=1):
        series.append(Series(kind, style, against_tokens(places, [at.by_kind.get(kind) for at in found.over_training])))
    title = f"Share that {fmt.label_name(found.stage)} would keep over training"
    ends = "; ".join(
        f"{s.name} from {fmt.percent(s.points[0][1], 0)} to {fmt.percent(s.points[-1][1], 0)}%" for s in series
    )
    chart = Chart(title, f"{ends}.", "tokens", "% kept", series, fmt.short_count, percent_tick, size=WIDE)
    every = [one.name for one in found.by_kind]
    values: Rows = [
        [at.place.tokens, at.share, *(at.by_kind.get(kind) for kind in every)] for at in found.over_training
    ]
    trained = found.kept_in_training
    caption = "Of this text, all tokens ranked together; the commonest kinds are drawn."
    if trained:
        lowest, highest = min(share for _, share in trained), max(share for _, share in trained)
        between = dict.fromkeys((fmt.percent(lowest), fmt.percent(highest)))
        caption += f" Training itself kept {' to '.join(between)}% of each step's tokens."
    return made("kept-over-training", chart, ["tokens", "all", *every], values, caption)


def histogram_figure(found: Histogram) -> AnalysisFigure:
    """Return how excess losses are spread at the first and the last checkpoint."""
    middles = [(low + high) / 2 for low, high in zip(found.edges, found.edges[1:], strict=False)]
    series = []
    for style, (place, counts) in enumerate(zip(found.places, found.counts, strict=True)):
        total = max(sum(counts), 1)
        points = [(x, count / total) for x, count in zip(middles, counts, strict=True)]
        series.append(Series(f"at {fmt.short_count(place.tokens)}", style, points))
    words = "; ".join(f"{s.name}: most at {max(s.points, key=lambda point: point[1])[0]:.3g} nats" for s in series)
    chart = Chart(
        "Excess losses of all tokens", f"{words}.", "loss minus reference loss, nats", "% of tokens", series, short,
        percent_tick, size=WIDE,
    )  # fmt: skip
    values: Rows = [[x, *(counts[place] for counts in found.counts)] for place, x in enumerate(middles)]
    header = ["excess", *(f"tokens at {fmt.short_count(place.tokens)}" for place in found.places)]
    return made("excess-loss", chart, header, values, "The outermost counts hold everything beyond them.")


def agreement_figure(found: Agreement) -> AnalysisFigure:
    """Return what two rules keep in common, and the correlation of their ranks."""
    cells = {
        (_name(left), _name(right)): _cell(left, right, found.in_common[row][column], found.correlation[row][column])
        for row, left in enumerate(found.rules)
        for column, right in enumerate(found.rules)
        if row != column
    }
    keeps = f"each keeping {fmt.percent(found.ratio, 0)}%"
    chart = CellMap(
        "How far rules agree",
        f"Share in common and rank correlation of {len(found.rules)} rules, {keeps}.",
        [_name(rule) for rule in found.rules],
        {_name(rule): rule.split("_") for rule in found.rules},
        [Panel(f"in common, {keeps}; below it the rank correlation", cells)],
    )
    values: Rows = [
        [left, right, found.in_common[row][column], found.correlation[row][column]]
        for row, left in enumerate(found.rules)
        for column, right in enumerate(found.rules)
        if row < column
    ]
    return made(
        "agreement",
        chart,
        ("rule", "other rule", "share in common", "rank correlation"),
        values,
        f"At the last checkpoint, over the whole text. Two rules that know nothing of each other have "
        f"{fmt.percent(found.ratio, 0)}% in common. Where no store says otherwise, self_gain and base_excess_loss look "
        "back at the checkpoint that training started from.",
    )


def _name(rule: str) -> str:
    return rule.replace("_", " ")


def _cell(left: str, right: str, share: float, correlation: float | None) -> MapCell:
    rank = fmt.NONE if correlation is None else fmt.signed(correlation, 2)
    words = f"{left} and {right}: {fmt.percent(share)}% in common, rank correlation {rank}"
    return MapCell(f"{fmt.percent(share, 0)}%", rank, "open", words, shade=share)
