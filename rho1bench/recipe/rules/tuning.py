"""Rules about ``optimizer.tuned_on``: the stages that try learning rates measure something, on a seed of their own."""

from __future__ import annotations

from rho1bench.recipe.models.training import PretrainStage, TrainStage
from rho1bench.recipe.rules.rule import Earlier, Problems, rule


@rule(TrainStage)
def rates_are_tried(stage: TrainStage, earlier: Earlier) -> Problems:
    """Every stage that tries a rate has one, and a validation loss on the same corpus as the others."""
    tried = [earlier.stage(name, PretrainStage) for name in stage.optimizer.tuned_on]
    for index, other in enumerate(tried):
        key = ("optimizer", "tuned_on", str(index))
        if other.optimizer.learning_rate is None:
            yield key, f"{other.name!r} has no learning_rate of its own; name stages that try one each"
        elif other.validation is None or other.validation != tried[0].validation:
            yield (
                key,
                f"{other.name!r} needs a `validation` corpus, the same as the others', for the rate to be chosen by",
            )


@rule(TrainStage)
def tuning_has_its_own_seed(stage: TrainStage, earlier: Earlier) -> Problems:
    """A stage counts on other seeds than the one on which its rate was chosen."""
    for index, name in enumerate(stage.optimizer.tuned_on):
        if earlier.stage(name, PretrainStage).seed == stage.seed:
            yield (
                ("optimizer", "tuned_on", str(index)),
                f"{name!r} has the seed of this stage, whose result would count on the seed that its rate was chosen "
                "on; give either a `seed` of its own",
            )
            return
