"""The sections of an analysis with their figures, in the order of the page; a pure function of its numbers."""

from __future__ import annotations

from rho1bench.analysis.choice_figures import (
    agreement_figure,
    histogram_figure,
    over_training_figure,
    perplexity_figure,
    rate_figures,
    text_figures,
)
from rho1bench.analysis.drawing import Section
from rho1bench.analysis.dynamics_figures import accuracy_figures, class_figures, loss_figures, ratio_figure
from rho1bench.analysis.results import Analysis, Choices
from rho1bench.rendering import numbers as fmt


def sections_of(found: Analysis) -> list[Section]:
    """Return the sections that have a figure."""
    sections = [
        Section(
            "dynamics",
            "What becomes of tokens",
            "Losses of single tokens over training, as in section 2.1 of the paper.",
            [figure for one in found.dynamics for figure in class_figures(one)],
        )
    ]
    if found.choices is not None:
        sections += _of_choices(found, found.choices)
    accuracies = []
    if found.accuracy_by_loss is not None:
        accuracies += list(accuracy_figures(found.accuracy_by_loss))
    if found.accuracy_by_ratio is not None:
        accuracies.append(ratio_figure(found.accuracy_by_ratio))
    words = (
        "Each point is a checkpoint. Intervals take the points for independent, which checkpoints of one run are not."
    )
    sections.append(Section("accuracies", "Losses and ratios beside accuracy", words, accuracies))
    return [section for section in sections if section.figures]


def _of_choices(found: Analysis, choices: Choices) -> list[Section]:
    name = fmt.label_name(choices.stage)
    kept = fmt.percent(choices.num_kept / choices.num_tokens, 0)
    beside = [over_training_figure(choices)]
    beside += [histogram_figure(choices.histogram)] if choices.histogram is not None else []
    beside += [agreement_figure(choices.agreement)] if choices.agreement is not None else []
    perplexities = [perplexity_figure(choices.perplexity)] if choices.perplexity is not None else []
    return [
        Section(
            "kept",
            f"Which tokens {name} keeps",
            f"By {choices.rule.replace('_', ' ')}, {kept}% of this text.",
            [*text_figures(choices), *rate_figures(choices)],
        ),
        Section(
            "kept-losses",
            "Losses of kept and left-out tokens",
            f"As figure 6 of the paper, but on one fixed set: the tokens that {name} keeps at its end, and the rest.",
            [*loss_figures(found.losses, choices.stage), *perplexities],
        ),
        Section("preferences", "How the choice moves, and what other rules would choose", "", beside),
    ]
