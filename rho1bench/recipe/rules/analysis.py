"""Rules about analyses: one vocabulary, and accuracies that are measured."""

from __future__ import annotations

from rho1bench.recipe.loading.layers import nearest
from rho1bench.recipe.models.analysis import AnalysisStage
from rho1bench.recipe.models.corpus import CorpusStage
from rho1bench.recipe.models.evaluation import EvalStage
from rho1bench.recipe.models.training import PretrainStage
from rho1bench.recipe.rules.rule import Earlier, Problems, rule


@rule(AnalysisStage)
def models_read_the_text(stage: AnalysisStage, earlier: Earlier) -> Problems:
    """All stages that are followed read with the tokenizer of the text."""
    names = [earlier.stage(name, PretrainStage).corpus for name in stage.curves]
    text = earlier.stage(stage.corpus or names[0], CorpusStage)
    for place, name in enumerate(names):
        theirs = earlier.stage(name, CorpusStage).tokenizer
        if theirs != text.tokenizer:
            yield (
                ("curves", str(place)),
                f"{stage.curves[place]!r} reads with the tokenizer {theirs!r}, the text {text.name!r} is packed with "
                f"{text.tokenizer!r}",
            )


@rule(AnalysisStage)
def suite_is_evaluated(stage: AnalysisStage, earlier: Earlier) -> Problems:
    """The suite is one of the evaluation."""
    if stage.suite is None or stage.evaluation is None:
        return
    evaluations = earlier.stage(stage.evaluation, EvalStage).evaluations
    suites = list(dict.fromkeys(suite for item in evaluations for suite in item.suites))
    if stage.suite not in suites:
        close = nearest(stage.suite, suites)
        yield ("suite",), f"{stage.evaluation!r} evaluates no {stage.suite!r}{close}; it has {', '.join(suites)}"
