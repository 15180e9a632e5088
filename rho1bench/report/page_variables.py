"""Turns a run and its summary into what the two templates print: texts and rows, every number already written out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml
from markupsafe import Markup

from rho1bench.analysis.figures import sections_of
from rho1bench.analysis.page import described, sections_html
from rho1bench.answers.page import address
from rho1bench.comparison.costs import CheckpointCost
from rho1bench.comparison.differences import PairComparison, ScoreDifference
from rho1bench.comparison.eval_results import suite_interval
from rho1bench.comparison.run_summary import RunSummary, SuiteScoresOfRun, TrainingSummary
from rho1bench.rendering import numbers as fmt
from rho1bench.rendering.figure import Figure
from rho1bench.rendering.scatter_chart import Point
from rho1bench.report import figures, findings, token_passages
from rho1bench.report.bits_tables import bits_tables
from rho1bench.report.contest_section import SuiteSection, contest_suites, contest_view
from rho1bench.report.overlap_table import overlap_table
from rho1bench.report.run_data import RunData


@dataclass(frozen=True)
class Charts:
    """The figures of a run, drawn once for both pages."""

    accuracy: Sequence[Figure]
    costs: Sequence[Figure]
    losses: Sequence[Figure]
    contests: Mapping[tuple[str, str], SuiteSection]
    """By contest and suite."""

    @property
    def all(self) -> list[Figure]:
        """All figures in the order of the page."""
        contests = [figure for part in self.contests.values() for figure in (part.figure, part.cost) if figure]
        return [*contests, *self.accuracy, *self.costs, *self.losses]


def draw(run: RunData) -> Charts:
    """Draw contests, and figures 1 and 6 as far as the run has their numbers."""
    styles = {name: index for index, name in enumerate(run.losses)}
    targets = {speedup.suite: (speedup.baseline, speedup.reading.target) for speedup in reversed(run.speedups)}
    accuracy = [
        figures.accuracy_figure(suite, points, styles, targets.get(suite))
        for suite, points in run.trajectory.items()
        if points
    ]
    losses = figures.loss_figures(run.losses, styles)
    return Charts(accuracy, _cost_figures(run), losses, contest_suites(run.contests))


def _cost_figures(run: RunData) -> list[Figure]:
    """Draw every suite on which at least two checkpoints whose operations are known were evaluated."""
    points: dict[str, list[Point]] = {}
    for label in run.shown_labels:
        flops = run.costs[label].total.flops if label in run.costs else None
        for suite, entry in run.results[label].suites.items():
            interval = suite_interval([run.results[label].tasks[task] for task in entry.tasks])
            if flops is not None:
                point = Point(fmt.label_name(label), flops, entry.average, (interval.low, interval.high))
                points.setdefault(suite, []).append(point)
    return [figures.cost_figure(suite, found) for suite, found in points.items() if len(found) > 1]


def build(run: RunData, summary: RunSummary, charts: Charts) -> dict[str, object]:
    """Return the templates' variables."""
    pairs, shown = summary.comparisons, run.shown_labels
    sentences = [(one.verdict, one.evidence) for part in charts.contests.values() for one in part.view.findings]
    sentences += [findings.finding(pair, suite) for pair in pairs for suite in pair.suites]
    sentences = sentences or [findings.without_comparison(summary)]
    counted = max([len(contest.terms.seeds) for contest in run.contests[:1]], default=1)
    return {
        "name": summary.recipe,
        "description": summary.description,
        "seed": summary.seed,
        "version": summary.rho1bench_version,
        "headline": f"{sentences[0][0]} ({'one seed' if counted < 2 else f'{counted} seeds'})",
        "evidence": sentences[0][1],
        "conditions": findings.conditions(pairs[0], summary.training) if pairs else "",
        "findings": [f"{verdict}: {evidence}." if evidence else f"{verdict}." for verdict, evidence in sentences[1:]],
        "contests": [contest_view(contest, charts.contests) for contest in summary.contests],
        "speedups": [findings.speedup(entry) for entry in summary.tokens_to_baseline],
        "equal_flops": [findings.equal_flops(entry) for entry in summary.equal_flops],
        "bits": bits_tables(summary),
        "overlap": overlap_table(summary.benchmark_overlap),
        "costs": cost_tables({label: cost for label, cost in summary.costs.items() if label in shown}),
        "cost_figures": charts.costs,
        "pairs": [_pair(pair, summary.scores) for pair in pairs if pair.suites],
        "accuracy": charts.accuracy,
        "losses": charts.losses,
        "trajectory_n": {suite: fmt.count(points[0].n) for suite, points in run.trajectory.items() if points},
        "probe": _probe(run),
        "analysis": _analysis(run),
        "checkpoints": [
            table for suite, entry in summary.scores.items() if (table := _checkpoints(suite, entry, shown))
        ],
        "training": [_training(run, stage, entry) for stage, entry in summary.training.items()],
        "stages": [[name, entry.kind, fmt.seconds(entry.seconds)] for name, entry in summary.stages.items()],
        "total_seconds": fmt.seconds(sum(entry.seconds or 0.0 for entry in summary.stages.values())),
        "engine": {key: _joined(value) for key, value in summary.engine} if summary.engine else None,
        "versions": summary.versions,
        "settings": summary.comparison_settings,
        "recipe_yaml": recipe_text(run),
    }


def recipe_text(run: RunData) -> str:
    """Return the resolved recipe as YAML, without the defaults that nobody set."""
    return yaml.safe_dump(
        run.recipe.model_dump(mode="json", exclude_unset=True), sort_keys=False, allow_unicode=True, width=100
    )


def _joined(value: str | Sequence[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def _pair(pair: PairComparison, scores: Mapping[str, SuiteScoresOfRun]) -> dict[str, object]:
    entries = [*pair.suites.values(), *pair.tasks.values()]
    bounds = [bound for entry in entries for bound in (entry.ci or (entry.difference,))]
    scale = (min([*bounds, -0.01]), max([*bounds, 0.01]))
    suites = []
    for suite, entry in pair.suites.items():
        tasks = [task for task in scores[suite].tasks if task in pair.tasks] if suite in scores else []
        suites.append(
            {
                "row": _row(f"{suite} average", entry, scale),
                "tasks": [_row(task, pair.tasks[task], scale) for task in tasks],
            }
        )
    return {
        "treatment": fmt.label_name(pair.treatment),
        "baseline": fmt.label_name(pair.baseline),
        "scale": fmt.interval(scale),
        "suites": suites,
        "answers": address(a=pair.treatment, b=pair.baseline),
    }


def _row(name: str, entry: ScoreDifference, scale: tuple[float, float]) -> dict[str, object]:
    return {
        "name": name,
        "n": fmt.count(entry.n),
        "treatment": fmt.percent(entry.treatment),
        "baseline": fmt.percent(entry.baseline),
        "difference": fmt.points(entry.difference),
        "ci": fmt.interval(entry.ci),
        "p": fmt.p_value(entry.p),
        "p_holm": "" if entry.p_holm is None else fmt.p_value(entry.p_holm),
        "p_tasks": "" if entry.p_tasks is None else fmt.p_value(entry.p_tasks),
        "significant": (entry.p if entry.p_holm is None else entry.p_holm) < fmt.SIGNIFICANT,
        "plot": _interval_plot(entry, scale),
    }


def cost_tables(costs: Mapping[str, CheckpointCost]) -> dict[str, object] | None:
    """Return what each checkpoint and each of its stages took, as rows; None where nothing is known."""
    if not costs:
        return None
    stages = {part.stage: part for cost in costs.values() for part in (*cost.shared, *cost.stages)}
    shared = {part.stage for cost in costs.values() for part in cost.shared}
    return {
        "checkpoints": [_cost_row(label, cost) for label, cost in costs.items()],
        "stages": [
            [name, part.kind, fmt.flops(part.cost.flops), fmt.seconds(part.cost.seconds), part.cost.hardware]
            for name, part in stages.items()
        ],
        "shared": " and ".join(name for name in stages if name in shared),
        "not_counted": ", ".join(dict.fromkeys(name for cost in costs.values() for name in cost.not_counted)),
    }


def _cost_row(label: str, cost: CheckpointCost) -> list[str]:
    own, needed = cost.own, ", ".join(part.stage for part in cost.stages[:-1])
    return [
        fmt.label_name(label),
        fmt.flops(own.flops if own else 0.0),
        needed or fmt.NONE,
        fmt.flops(cost.ahead_flops if own else 0.0),
        fmt.flops(cost.total.flops),
        fmt.seconds(cost.total.seconds),
    ]


_PLOT_WIDTH, _PLOT_HEIGHT = 116, 18


def _interval_plot(entry: ScoreDifference, scale: tuple[float, float]) -> Markup:
    """A dot and whisker around zero; hidden from screen readers, for the cells beside it hold the numbers."""
    low, high = entry.ci or (entry.difference, entry.difference)
    room = (_PLOT_WIDTH - 10) / (scale[1] - scale[0])
    zero, x, left, right = (5 + room * (value - scale[0]) for value in (0.0, entry.difference, low, high))
    shown = fmt.points(entry.difference)
    style = 1 if shown.startswith(fmt.MINUS) else 0 if shown.startswith("+") else 2
    y = _PLOT_HEIGHT // 2
    return Markup(
        f'<svg class="chart whisker" viewBox="0 0 {_PLOT_WIDTH} {_PLOT_HEIGHT}" width="{_PLOT_WIDTH}" '
        f'height="{_PLOT_HEIGHT}" aria-hidden="true"><line class="grid" x1="{zero:.1f}" x2="{zero:.1f}" y1="0" '
        f'y2="{_PLOT_HEIGHT}"/><line class="curve f{style} solid{style}" x1="{left:.1f}" x2="{right:.1f}" y1="{y}" '
        f'y2="{y}"/><circle class="f{style}" cx="{x:.1f}" cy="{y}" r="3.5"/></svg>'
    )


def _checkpoints(suite: str, entry: SuiteScoresOfRun, shown: Sequence[str]) -> dict[str, object] | None:
    labels = [label for label in entry.average if label in shown]
    if not labels:
        return None
    rows = [
        [task, fmt.count(row.n), *(fmt.percent(row.checkpoints.get(label)) for label in labels)]
        for task, row in entry.tasks.items()
    ]
    return {
        "suite": suite,
        "labels": [fmt.label_name(label) for label in labels],
        "rows": rows,
        "average": [fmt.percent(entry.average[label]) for label in labels],
    }


def _training(run: RunData, stage: str, entry: TrainingSummary) -> list[str]:
    losses = run.losses.get(stage, {}).get("validation_loss")
    ratio = entry.select_ratio
    return [
        stage,
        entry.init_stage or "random weights",
        fmt.short_count(entry.num_parameters),
        fmt.count(entry.max_steps),
        fmt.short_count(entry.tokens),
        fmt.short_count(entry.selected_tokens),
        fmt.NONE if ratio is None else f"{fmt.percent(ratio, 0)}%",
        fmt.NONE if not losses else f"{losses[-1][1]:.4f}",
        fmt.NONE if not entry.tokens_per_second else fmt.short_count(entry.tokens_per_second),
    ]


def _probe(run: RunData) -> dict[str, object] | None:
    """Figures 13 and 14: the first blocks of the probe at its last step, the first block at every step."""
    if not run.probe or run.probe_stage is None:
        return None
    moments = token_passages.steps(run.probe)
    last_step = moments[-1]
    training = run.training.get(run.probe_stage)
    total = max(training.max_steps if training else last_step, 1)
    names = {step: f"{100 * step / total:.0f}%" for step in moments}
    shares = token_passages.kind_shares(run.probe)
    last = token_passages.at_step(run.probe, last_step)
    first_block = [passage for passage in run.probe if passage.block == last[0].block]
    return {
        "stage": fmt.label_name(run.probe_stage),
        "sentence": findings.selection(shares, last_step, fmt.label_name(run.probe_stage)),
        "moments": list(names.values()),
        "shares": [_share(share, moments) for share in shares],
        "groups": {token.group for passage in run.probe for token in passage.tokens},
        "num_tokens": fmt.count(sum(len(passage.tokens) - 1 for passage in last)),
        "num_blocks": len(last),
        "last": [_passage(passage, names) for passage in last[: token_passages.NUM_PASSAGES]],
        "over_time": [_passage(passage, names) for passage in first_block] if len(moments) > 1 else [],
    }


def _analysis(run: RunData) -> dict[str, object] | None:
    if run.analysis is None:
        return None
    sections = sections_of(run.analysis)
    return {
        "text": described(run.analysis),
        "notes": run.analysis.notes,
        "sections": sections,
        "html": sections_html(sections, heading=3),
    }


def _share(share: token_passages.KindShare, moments: Sequence[int]) -> dict[str, object]:
    return {
        "kind": share.kind.replace("_", " "),
        "whole": share.kind == "noise",
        "num_tokens": fmt.count(share.num_tokens),
        "tokens": fmt.percent(share.share_of_tokens, 0),
        "selected": [fmt.percent(share.selected_share[step], 0) for step in moments],
    }


def _passage(passage: token_passages.Passage, names: Mapping[int, str]) -> dict[str, object]:
    ranked = passage.tokens[1:]
    chosen = sum(token.selected for token in ranked)
    return {
        "block": passage.block,
        "moment": names[passage.step],
        "selected": fmt.percent(chosen / max(len(ranked), 1), 0),
        "tokens": [_token(token, text) for token, text in zip(passage.tokens, _texts(passage), strict=True)],
    }


def _texts(passage: token_passages.Passage) -> list[str]:
    """Return the tokens' texts with line ends made visible; of several line ends in a row only the last breaks."""
    texts: list[str] = []
    following = ""
    for token in reversed(passage.tokens):
        text = ""
        for char in reversed(token.text):
            shown = char if char != "\n" else "\u21b5" if following == "\n" else "\u21b5\n"
            text, following = shown + text, char
        texts.append(text)
    return texts[::-1]


def _token(token: token_passages.Token, text: str) -> dict[str, object]:
    title = token.kind.replace("_", " ")
    if token.loss is not None:
        title += f", loss {token.loss:.2f}"
        if token.reference_loss is not None:
            title += f", reference {token.reference_loss:.2f}"
    return {"text": text, "selected": token.selected, "group": token.group, "title": title}
