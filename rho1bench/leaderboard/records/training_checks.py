"""Whether what a record says of a training can be: steps, tokens, loss, weights, curve, corpora, cost by its recipe.

Part of ``checks``, for records of single models (``origin``) and the runs of contests (``contest_checks``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rho1bench.comparison.costs import StageCost
from rho1bench.leaderboard.records.record import CurvePoint, Record, TrainingFacts
from rho1bench.recipe import CorpusStage, EvalStage, PretrainStage, Recipe, ScoreStage, TrainStage
from rho1bench.recipe.models.selection import RatioSchedule, Selection, num_to_keep
from rho1bench.recipe.models.training import ModelConfig, checkpoint_steps
from rho1bench.recipe.part import part_of
from rho1bench.sizing.cost import Cost
from rho1bench.sizing.flops import Work, flops_of

_FORWARD_PASSES = 2
"""Further forward passes that a selection may take at most: a score-only pass, and one of a moving average."""
_SLACK = 0.02
"""Share by which operations may lie beside those of the recipe's shape."""
Bounds = tuple[int, int]
Operations = tuple[float, float]


@dataclass(frozen=True)
class Trained:
    """What a record says of the training of one stage's model."""

    stage: str
    step: int | None
    tokens: int | None
    selected_tokens: int | None
    validation_loss: float | None
    num_parameters: int | None
    weights_sha256: str | None


def training_problems(found: Trained, recipe: Recipe) -> Iterator[str]:
    """Yield where a training is not the one of its recipe."""
    stage = recipe.stage(found.stage, TrainStage)
    if found.step != stage.max_steps:
        yield f"step is {found.step}, its recipe trains {stage.max_steps} steps"
    yield from _token_problems(found, stage, recipe)
    yield from _loss_problems(found.validation_loss, stage)
    if found.weights_sha256 is None:
        yield "weights_sha256 is missing, of a model that was trained it is known"
    if isinstance(stage.first_init(recipe), ModelConfig) and (shape := stage.shape(recipe)) is not None:
        least, most = shape.body_parameters, shape.num_parameters  # a tokenizer may end with fewer entries
        if found.num_parameters is None or not least < found.num_parameters <= most:
            yield f"another number of parameters ({found.num_parameters}) than its recipe's model has, {most}"


def _token_problems(found: Trained, stage: TrainStage, recipe: Recipe) -> Iterator[str]:
    tokens, selected = found.tokens, found.selected_tokens
    if tokens is None or selected is None:
        yield "tokens and selected_tokens are missing"
        return
    if selected > tokens:
        yield f"selected_tokens are {selected}, more than the {tokens} tokens"
    most = stage.max_steps * stage.batch_size * stage.sequence_length(recipe)
    if not isinstance(stage, PretrainStage):
        if tokens > most:
            yield f"tokens are {tokens}, its recipe reads at most {most}"
        return
    if tokens != most:
        yield f"tokens are {tokens}, its recipe reads {most}"
    elif not (bounds := selected_bounds(stage, recipe, stage.max_steps))[0] <= selected <= bounds[1]:
        span = str(bounds[0]) if bounds[0] == bounds[1] else f"{bounds[0]} to {bounds[1]}"
        whole = "all that are predicted, " if stage.selection is None else ""
        ratio = stage.selection.fixed_ratio if stage.selection else None
        more = f", more than {ratio:g} of {tokens}" if ratio is not None and selected > ratio * tokens else ""
        yield f"selected_tokens are {selected}{more}; its recipe selects {whole}{span}"


def selected_bounds(stage: PretrainStage, recipe: Recipe, steps: int) -> Bounds:
    """Return the fewest and the most tokens that the first ``steps`` optimizer steps of a stage can select."""
    corpus = recipe.stage(stage.corpus, CorpusStage)
    a_step = stage.batch_size * (corpus.block_size - 1)  # nothing predicts the first token of a block
    whole = not corpus.document_masking and stage.on_nonfinite == "stop"
    if stage.selection is None:
        return (steps * a_step if whole else 0), steps * a_step
    if any(isinstance(part.ratio, RatioSchedule) for part in stage.selection.parts):
        found = [_of_one_step(stage.selection, a_step, step, stage.max_steps) for step in range(steps)]
        least, most = (sum(part) for part in zip((0, 0), *found, strict=True))
    else:
        least, most = (steps * kept for kept in _of_one_step(stage.selection, a_step, 0, stage.max_steps))
    rounded = 0 if stage.selection.scope == "global" else steps * stage.batch_size  # each set that is ranked, once
    return (max(0, least - rounded) if whole else 0), min(steps * a_step, most + rounded)


def _of_one_step(selection: Selection, eligible: int, step: int, total_steps: int) -> Bounds:
    """Return the fewest and the most tokens that one optimizer step selects of ``eligible`` ones."""
    if selection.score == "full" and selection.all_of is None and selection.any_of is None:
        return eligible, eligible
    if selection.gives_weights or selection.scope == "document":
        return 0, eligible
    kept = []
    for part in selection.parts:
        ratio = part.ratio.at(step, total_steps) if isinstance(part.ratio, RatioSchedule) else part.ratio
        kept.append(num_to_keep(eligible, ratio))
    if selection.any_of is not None:
        return max(kept), min(sum(kept), eligible)
    return max(0, sum(kept) - (len(kept) - 1) * eligible), min(kept)


def _loss_problems(loss: float | None, stage: TrainStage) -> Iterator[str]:
    measured = isinstance(stage, PretrainStage) and stage.validation is not None
    if loss is not None and not measured:
        yield f"validation_loss is {loss}, its recipe measures none"
    if loss is None and isinstance(stage, PretrainStage) and measured and stage.validation_steps <= stage.max_steps:
        yield "validation_loss is missing, its recipe measures it"
    if loss is not None and loss < 0:
        yield f"validation_loss is {loss}, below 0"


def curve_problems(record: Record, training: TrainingFacts, recipe: Recipe) -> Iterator[str]:
    """Yield where a record's curve is not that of the checkpoints which the recipe evaluates along the training."""
    stage = next((one for one in recipe.stages_of(TrainStage) if one.name == training.stage), None)
    if stage is None:
        return
    steps: list[int] = []
    kept = checkpoint_steps(stage.max_steps, stage.num_checkpoints)
    for evaluation in recipe.stages_of(EvalStage):
        of_suite = [item for item in evaluation.evaluations if record.suite in item.suites]
        final = {name for item in of_suite if not item.trajectory for name in item.checkpoints}
        along = {name for item in of_suite if item.trajectory for name in item.checkpoints}
        if training.stage in along and training.stage in final and kept:
            steps = [*([0] if stage.init_stage in final else []), *kept, stage.max_steps]
    if [point.step for point in record.curve] != steps:
        yield f"the steps of its curve are {[point.step for point in record.curve]}, by its recipe {steps}"
    elif isinstance(stage, PretrainStage):
        yield from _point_problems(record.curve, stage, recipe)


def _point_problems(curve: list[CurvePoint], stage: PretrainStage, recipe: Recipe) -> Iterator[str]:
    for point in curve:
        tokens = point.step * stage.batch_size * stage.sequence_length(recipe)
        least, most = selected_bounds(stage, recipe, point.step)
        if point.tokens != tokens or not least <= point.selected_tokens <= most:
            yield (
                f"its curve has {point.tokens} tokens and {point.selected_tokens} selected ones at step {point.step}, "
                f"its recipe {tokens}, and {least} to {most}"
            )


def overlap_problems(record: Record, training: TrainingFacts, recipe: Recipe) -> Iterator[str]:
    """Yield where benchmark texts were looked for in other corpora than the recipe says, or were found impossibly."""
    found = record.benchmark_overlap or {}
    if training.stage in {stage.name for stage in recipe.stages}:
        corpora = part_of(recipe, [training.stage]).stages_of(CorpusStage)
        asked = [stage.name for stage in corpora if stage.benchmark_texts is not None]
        if sorted(found) != sorted(asked):
            yield f"benchmark_overlap is of the corpora {sorted(found)}, by its recipe of {sorted(asked)}"
    for name, corpus in found.items():
        if not 0 <= corpus.looked_for <= corpus.texts:
            yield f"benchmark_overlap.{name}: {corpus.looked_for} of {corpus.texts} texts were looked for"
        for source in corpus.sources:
            shares = [(source.documents, source.num_documents), (source.tokens, source.num_tokens)]
            if any(not 0 <= part <= whole for part, whole in shares) or not 0 <= source.texts <= corpus.looked_for:
                yield f"benchmark_overlap.{name}: found more in {source.source} than there is"


def own_flops_problems(cost: Cost, found: Trained, recipe: Recipe) -> Iterator[str]:
    """Yield where no training on the tokens of a record can take so many operations."""
    if found.tokens is None or found.selected_tokens is None:
        return
    bounds = _training_flops(recipe.stage(found.stage, TrainStage), recipe, (found.tokens, found.selected_tokens))
    flops = cost.flops
    if bounds is not None and flops is not None and not _within(flops, bounds):
        yield f"its training took {flops:.3g} operations, its model and tokens {bounds[0]:.3g} to {bounds[1]:.3g}"


def cost_problems(parts: Iterable[StageCost], recipe: Recipe) -> Iterator[str]:
    """Yield stages of which a cost cannot be true, whatever record tells it."""
    for part in parts:
        stage, cost = recipe.stage(part.stage), part.cost
        if cost.seconds <= 0 or not cost.hardware.strip():
            yield f"{part.stage} took {cost.seconds} seconds on {cost.hardware or 'nothing'}"
        bounds = _training_flops(stage, recipe) if isinstance(stage, TrainStage) else None
        bounds = _scoring_flops(stage, recipe) if isinstance(stage, ScoreStage) else bounds
        if bounds is not None and (cost.flops is None or not _within(cost.flops, bounds)):
            flops = "unknown" if cost.flops is None else f"{cost.flops:.3g}"
            yield f"the operations of {part.stage} are {flops}, by its recipe {bounds[0]:.3g} to {bounds[1]:.3g}"


def _within(flops: float, bounds: Operations) -> bool:
    return (1 - _SLACK) * bounds[0] <= flops <= (1 + _SLACK) * bounds[1]


def _training_flops(stage: TrainStage, recipe: Recipe, exact: Bounds | None = None) -> Operations | None:
    """Return the fewest and the most operations of a training; ``exact`` tokens and selected ones, where known."""
    shape, length = stage.shape(recipe), stage.sequence_length(recipe)
    if shape is None:
        return None
    most = stage.max_steps * stage.batch_size * length
    if exact is not None:
        (tokens, least), selected = exact, exact[1]
    elif isinstance(stage, PretrainStage):
        tokens, (least, selected) = most, selected_bounds(stage, recipe, stage.max_steps)
    else:
        tokens, least, selected = 0, 0, most
    shortest = length if isinstance(stage, PretrainStage) else 0  # attention of samples, which are of any length
    longest = tokens or most
    passes = _FORWARD_PASSES * longest
    work = Work(longest, selected, passes, passes + longest)
    return flops_of(shape, shortest, Work(tokens, least)), flops_of(shape, length, work)


def _scoring_flops(stage: ScoreStage, recipe: Recipe) -> Operations | None:
    corpus = recipe.stage(stage.corpus, CorpusStage)
    shape = recipe.stage(stage.reference, TrainStage).shape(recipe) if isinstance(stage.reference, str) else None
    if shape is None or corpus.max_blocks is None:
        return None
    blocks, length = corpus.max_blocks, corpus.block_size
    flops = flops_of(shape, length, Work(forward_tokens=blocks * length, forward_rows=blocks * (length - 1)))
    return (0.0 if corpus.at_most else flops), flops
