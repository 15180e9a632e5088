"""What a run found, in sentences that are computed from its numbers and say no more than these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rho1bench.comparison.differences import PairComparison, ScoreDifference
from rho1bench.comparison.run_summary import EqualFlopsEntry, RunSummary, SpeedUpEntry, TrainingSummary
from rho1bench.rendering import numbers as fmt
from rho1bench.report.token_passages import KindShare


def finding(pair: PairComparison, suite: str) -> tuple[str, str]:
    """Return the verdict on one pair and suite, and the evidence for it.

    The verdict says who is ahead and by how much, or that there is no significant difference.
    """
    entry = pair.suites[suite]
    treatment, baseline = fmt.label_name(pair.treatment), fmt.label_name(pair.baseline)
    scores = f"{fmt.percent(entry.treatment)}% against {fmt.percent(entry.baseline)}%"
    numbers = f"{_interval(entry.ci)}{_p_values(entry)}, n = {fmt.count(entry.n)}"
    evidence = f"{scores}, difference {fmt.points(entry.difference)} points ({numbers})"
    gap = fmt.points(abs(entry.difference)).lstrip("+")
    if (entry.p if entry.p_holm is None else entry.p_holm) >= fmt.SIGNIFICANT:
        return f"No significant difference between {treatment} and {baseline} on {suite}", evidence
    verb = "beats" if entry.difference > 0 else "falls behind"
    return f"{treatment} {verb} {baseline} by {gap} points on {suite}", evidence


def _p_values(entry: ScoreDifference) -> str:
    """Return the p over questions, adjusted where there are several suites, and the p over tasks."""
    text = f"{fmt.p_clause(entry.p)} over questions"
    if entry.p_holm is not None and entry.p_holm != entry.p:
        text += f", {fmt.p_value(entry.p_holm)} by Holm over suites"
    return text if entry.p_tasks is None else f"{text}, {fmt.p_clause(entry.p_tasks)} over tasks"


def _interval(bounds: Sequence[float] | None) -> str:
    """Return the interval over documents, as every interval of one run is."""
    return f"95% CI over documents, not seeds: {fmt.interval(bounds)}; " if bounds else ""


def without_comparison(summary: RunSummary) -> tuple[str, str]:
    """Return what can be said of a run that compares nothing: its last scores, else losses, else what it trained."""
    last = list(summary.training)[-1:]
    for suite, entry in list(summary.scores.items())[:1]:
        scores = [f"{fmt.label_name(label)} {fmt.percent(value)}%" for label, value in entry.average.items()]
        return f"{scores[-1]} on {suite}", ", ".join(scores[:-1])
    if summary.validation_losses:
        *others, (name, loss) = summary.validation_losses.items()
        evidence = ", ".join(f"{fmt.label_name(other)} {value:.4f}" for other, value in others)
        return f"{fmt.label_name(name)} ends with a loss of {loss:.4f} nats a token on its validation corpus", evidence
    if last:
        training = summary.training[last[0]]
        tokens = f"{fmt.short_count(training.tokens)} tokens"
        return f"{fmt.label_name(last[0])} was trained for {fmt.count(training.max_steps)} steps on {tokens}", ""
    return "No model was trained in this run", ""


def conditions(pair: PairComparison, training: Mapping[str, TrainingSummary]) -> str:
    """Return what the two stages of a pair were trained on, as far as it is known; empty where it is not."""
    left, right = training.get(pair.treatment), training.get(pair.baseline)
    if not left or not right:
        return ""
    names = fmt.label_name(pair.treatment), fmt.label_name(pair.baseline)
    if (left.max_steps, left.tokens) != (right.max_steps, right.tokens):
        return (
            f"They were not trained alike: {names[0]} for {fmt.count(left.max_steps)} steps and "
            f"{fmt.short_count(left.tokens)} tokens, {names[1]} for {fmt.count(right.max_steps)} steps and "
            f"{fmt.short_count(right.tokens)} tokens."
        )
    text = f"Both were trained for {fmt.count(left.max_steps)} steps on {fmt.short_count(left.tokens)} tokens"
    if left.selected_tokens == right.selected_tokens:
        return f"{text}."
    counted = f"{fmt.short_count(left.selected_tokens)} of them for {names[0]}"
    return f"{text}; the loss counted {counted} and {fmt.short_count(right.selected_tokens)} for {names[1]}."


def speedup(entry: SpeedUpEntry) -> str:
    """Return the reading of figure 1 for one entry of summary.json's ``tokens_to_baseline``."""
    treatment, baseline = fmt.label_name(entry.treatment), fmt.label_name(entry.baseline)
    goal = f"{baseline}'s final average on {entry.suite}"
    basis = f"{fmt.percent(entry.target)}% of {fmt.count(entry.n)} documents; {entry.num_checkpoints} checkpoints"
    if entry.share is None:
        return f"{treatment} does not reach {goal} at any evaluated checkpoint ({basis})."
    share = fmt.percent(entry.share, 0)
    if entry.at_first_point:
        if entry.share == 0:
            return f"{goal} is no better than where both began, so there is no number of tokens to reach it ({basis})."
        return f"{treatment} is at {goal} by its first evaluated checkpoint, after {share}% of the tokens ({basis})."
    text = f"{treatment} reaches {goal} after {share}% of {baseline}'s tokens"
    text = f"{text} (95% CI {_shares(entry.share_ci)}; {basis}, interpolated)"
    return f"{text}{_counted(entry, baseline)}."


def _counted(entry: SpeedUpEntry, baseline: str) -> str:
    """Return how the same reads with everything counted that the treatment needed; empty where that is not known."""
    found = entry.counted
    if found is None or found.share is None:
        return ""
    if found.ahead_share == 0:
        return f"; in operations, after {fmt.percent(found.share, 0)}% of {baseline}'s"
    return (
        f"; with its reference and scoring counted, which took {fmt.percent(found.ahead_share, 0)}% of what {baseline} "
        f"took, after {fmt.percent(found.share, 0)}% of {baseline}'s operations (95% CI {_shares(found.share_ci)})"
    )


def equal_flops(entry: EqualFlopsEntry) -> str:
    """Return both sides' scores after the same number of operations, references and scoring counted."""
    reading, names = entry.reading, (fmt.label_name(entry.treatment), fmt.label_name(entry.baseline))
    head = f"After the same {fmt.flops(reading.flops)} operations, references and scoring counted"
    read = reading.treatment_tokens, reading.baseline_tokens
    for name, count in zip(names, read, strict=True):
        if count is None:
            return f"{head}, {name} has no checkpoint yet: what it needs before its training took more."
    scores = reading.scores
    assert scores is not None, "both sides have checkpoints"
    tokens = " and ".join(fmt.short_count(count or 0) for count in read)
    return (
        f"{head} ({tokens} tokens), {names[0]} has {fmt.percent(scores.treatment)}% and {names[1]} "
        f"{fmt.percent(scores.baseline)}% on {entry.suite}: {fmt.points(scores.difference)} points "
        f"({_interval(scores.ci)}{fmt.p_clause(scores.p)}, n = {fmt.count(scores.n)}; the dearer one is read along its "
        "way, before its learning rate has run down)."
    )


def _shares(bounds: Sequence[float | None] | None) -> str:
    if bounds is None or bounds[0] is None:
        return fmt.NONE
    if bounds[1] is None:
        return f"from {fmt.percent(bounds[0], 0)}% on, with no upper end"
    return f"{fmt.percent(bounds[0], 0)}% to {fmt.percent(bounds[1], 0)}%"


def selection(shares: Sequence[KindShare], step: int, name: str) -> str:
    """Return how much of the useful and of the noise tokens was selected at ``step``; empty without the two kinds."""
    by_kind = {share.kind: share for share in shares}
    useful = next((by_kind[kind] for kind in ("math", "text") if kind in by_kind), None)
    noise = by_kind.get("noise")
    if useful is None or noise is None:
        return ""
    return (
        f"At the end of training {name} selects {fmt.percent(useful.selected_share[step], 0)}% of the {useful.kind} "
        f"tokens and {fmt.percent(noise.selected_share[step], 0)}% of the noise. "
        f"{useful.kind.capitalize()} tokens make up {fmt.percent(useful.share_of_tokens, 0)}% of the probed tokens and "
        f"{fmt.percent(useful.share_of_selected[step], 0)}% of the selected ones."
    )
