"""Rules about selections: what a selection rule reads is there, and a monitor asks for nothing that training lacks."""

from __future__ import annotations

from rho1bench.recipe.models.rule_specs import EARLIER, ENTROPIES
from rho1bench.recipe.models.selection import RatioSchedule, Selection
from rho1bench.recipe.models.training import PretrainStage, SFTStage, TrainStage
from rho1bench.recipe.rules.rule import Earlier, Problems, rule
from rho1bench.recipe.rules.training import score_stages, selections


@rule(TrainStage)
def schedules_come_to_select(stage: TrainStage, earlier: Earlier) -> Problems:
    """What keeps every token at first has steps left to select in; else the stage is CLM by another name."""
    for key, selection in selections(stage):
        combined = "all_of" if selection.all_of else "any_of" if selection.any_of else None
        for place, part in enumerate(selection.parts):
            steps = part.ratio.steps if isinstance(part.ratio, RatioSchedule) else None
            if steps is not None and steps >= stage.max_steps:
                inner = (combined, str(place)) if combined else ()
                yield (
                    (key, *inner, "ratio", "steps"),
                    f"expected fewer than max_steps ({stage.max_steps}), got {steps}: nothing would ever be selected",
                )


@rule(PretrainStage)
def selection_has_its_scores(stage: PretrainStage, earlier: Earlier) -> Problems:
    """Stores that a selection's rules read are named."""
    for key, selection in selections(stage):
        given = {*selection.stores, *([EARLIER] if selection.moving_average is not None else [])}
        for part in selection.parts:
            for store in part.spec.stores:
                if store not in given and store == "reference":
                    what = f"the score {part.score!r} needs the name of an earlier score stage"
                    yield (key, "token_scores"), f"missing; {what}"
                elif store not in given:
                    yield _missing(key, selection, part.score, store)


def _missing(key: str, selection: Selection, score: str, store: str) -> tuple[tuple[str, ...], str]:
    reference = selection.stores.get("reference", "SCORES")
    remedy = f"name a second score stage: token_scores: {{reference: {reference}, {store}: STAGE}}"
    if store == EARLIER:
        remedy = f"give moving_average (0.999 for one), or a score stage: token_scores: {{{store}: STAGE}}"
    return (key, "token_scores"), f"missing {store}; the score {score!r} reads {store}.losses: {remedy}"


@rule(PretrainStage)
def entropies_are_stored(stage: PretrainStage, earlier: Earlier) -> Problems:
    """A rule that reads stored entropies finds them: a server tells none, and a stage may keep none."""
    for path, store, scores in score_stages(stage, earlier):
        reading = [
            part.score
            for key, selection in selections(stage)
            if key == path[0]
            for part in selection.parts
            if f"{store}.{ENTROPIES}" in part.spec.inputs
        ]
        if reading and scores.server is not None:
            yield path, f"the scores of {scores.name!r} are a server's, which tells no entropies"
        elif reading and not scores.entropies:
            what = f"the stage {scores.name!r} keeps no entropies (entropies: false), which {reading[0]!r} reads"
            yield path, what


@rule(PretrainStage)
def scores_are_those_of_the_corpus(stage: PretrainStage, earlier: Earlier) -> Problems:
    """Stored scores are those of the corpus that the stage trains on."""
    for path, _, scores in score_stages(stage, earlier):
        if scores.corpus != stage.corpus:
            yield (
                path,
                f"the stage {scores.name!r} scores the corpus {scores.corpus!r}, but this stage trains on "
                f"{stage.corpus!r}",
            )


@rule(PretrainStage)
def monitor_only_watches(stage: PretrainStage, earlier: Earlier) -> Problems:
    """A monitor ranks by what training computes in any case."""
    monitor = stage.monitor
    if monitor is None:
        return
    if monitor.gives_weights:
        yield (
            ("monitor", "score"),
            f"the rule {monitor.score!r} gives weights, and a monitor shows what a ranking keeps",
        )
    if monitor.moving_average is not None:
        yield ("monitor", "moving_average"), "a monitor keeps no weights; leave it out, or name a stored snapshot"
    for part in monitor.parts:
        if ENTROPIES in part.spec.inputs:
            yield (
                ("monitor", "score"),
                f"the rule {part.score!r} reads the model's entropies, which training without it does not compute",
            )


@rule(TrainStage)
def average_is_kept_whole(stage: TrainStage, earlier: Earlier) -> Problems:
    """A moving average is a whole copy of the weights, so weights are not sharded."""
    if stage.selection is None or not stage.selection.keeps_average or stage.distributed is None:
        return
    if stage.distributed.strategy != "ddp":
        yield (
            ("selection", "moving_average"),
            f"a moving average is kept of whole weights, not of those that {stage.distributed.strategy} shards; "
            "use the strategy ddp, or a stored snapshot",
        )


@rule(SFTStage)
def sft_selection_has_its_reference(stage: SFTStage, earlier: Earlier) -> Problems:
    """Fine-tuning has the scores of one model, which scores the samples itself."""
    if stage.selection is None:
        return
    if stage.selection.token_scores is not None:
        yield (
            ("selection", "token_scores"),
            "are the scores of a packed corpus, but fine-tuning scores its samples itself; leave it out, and name the "
            "model in `reference`",
        )
    for part in stage.selection.parts:
        for store in part.spec.stores:
            if store == "reference" and stage.reference is None:
                yield ("reference",), f"missing; the score {part.score!r} needs a model that scores the samples"
            elif store == EARLIER and stage.selection.moving_average is None:
                yield ("selection", "moving_average"), f"missing; the score {part.score!r} reads {store}.losses"
            elif store not in ("reference", EARLIER):
                yield (
                    ("selection", "score"),
                    f"the rule {part.score!r} reads {store}.losses, and fine-tuning has the scores of its reference "
                    "alone",
                )
