"""Whether a record is what its command makes: bound to its recipe, stage, seed, pair and limit.

Part of ``checks``. Name, id, command, method, selection, steps and baseline of a record follow from its recipe (a
shipped one, or one that is kept under ``results/recipes``), and the recipe is held by its hash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from rho1bench.comparison.costs import StagesNeeded, models_from_elsewhere
from rho1bench.leaderboard.records.from_evaluation import evaluation_command, slug
from rho1bench.leaderboard.records.from_run import (
    baselines_of,
    method_of,
    recipe_sha256,
    selection_of,
    shipped,
    shipped_part,
)
from rho1bench.leaderboard.records.record import Record, TrainingFacts, settings_sha256
from rho1bench.recipe import CorpusStage, EvalStage, PretrainStage, Recipe, TrainStage
from rho1bench.sizing.cost import Cost
from rho1bench.sizing.flops import Work, flops_of

_SHIPPED = re.compile(r"rho1bench run ([a-z0-9_-]+)( --scale smoke)?(?: --only ([\w.-]+))? --seed [0-9]+")
_SEED = re.compile(r" --seed ([0-9]+)$")
_KEPT = re.compile(r"rho1bench run results/(recipes/[a-z0-9._-]+\.yaml) --seed [0-9]+")


def kept_recipe_problems(command: str, sha256: str, results: Path) -> Iterator[str]:
    """Yield what is wrong with the recipe that is kept for a record because it does not ship."""
    match = _KEPT.search(command)
    if match is None:
        return
    try:
        recipe = _parsed((results / match[1]).read_text(encoding="utf-8"))
        fits = settings_sha256(recipe) == sha256
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        yield f"its recipe {match[1]} cannot be read: {error}"
        return
    if not fits:
        yield f"{match[1]} is not the recipe that it was made with"


@lru_cache(maxsize=64)
def _parsed(text: str) -> Any:
    return yaml.safe_load(text)


@lru_cache(maxsize=64)
def _kept(text: str) -> Recipe:
    return Recipe.model_validate(_parsed(text))


def origin_problems(record: Record, results: Path) -> Iterator[str]:
    """Yield where a record is not what its own command would make."""
    if record.training is None:
        yield from _evaluation_problems(record)
        return
    recipe = _recipe_of(record.command, record.training, results)
    if isinstance(recipe, str):
        yield recipe
        return
    yield from _name_problems(record, record.training, recipe)
    yield from _training_problems(record.training, recipe)
    yield from _evaluated_problems(record, record.training, recipe)
    yield from _cost_problems(record, record.training, recipe)


def _evaluation_problems(record: Record) -> Iterator[str]:
    model, evaluation = record.model, record.evaluation
    limit = f".limit{record.limit}" if record.limit else ""
    if record.id != f"{record.suite}/{slug(model.name)}{limit}":
        yield f"its id is not made of its suite, the name {model.name!r} and its limit"
    command = evaluation_command(
        model.source, record.suite, record.limit, evaluation.engine, evaluation.engine_settings
    )
    if record.command != command:
        yield f"its command is not the one that makes it: {command}"
    if record.comparison is not None or record.curve:
        yield "it is no record of a run, yet has a comparison or a curve"


def _recipe_of(command: str, training: TrainingFacts, results: Path) -> Recipe | str:
    return recipe_of(command, training.recipe, training.recipe_sha256, results)


def recipe_of(command: str, name: str, sha256: str, results: Path) -> Recipe | str:
    """Return the recipe called ``name`` of a record that ``command`` makes, or what is wrong."""
    if match := _SHIPPED.fullmatch(command):
        recipe = shipped(match[1], match[2] is not None)
        if recipe is None:
            return f"no recipe called {match[1]} ships"
        recipe = shipped_part(recipe, match[3] or "")
        if recipe_sha256(recipe) != sha256:
            return (
                f"recipe_sha256 is not that of the shipped recipe {match[1]}. "
                "If the recipe has changed since, run it again, or keep the old one under results/recipes."
            )
        return recipe
    if (match := _KEPT.fullmatch(command)) is None:
        return f"its command is none that `rho1bench leaderboard add` writes for a run: {command}"
    if match[1] != f"recipes/{slug(name)}.{sha256[:8]}.yaml":
        return f"{match[1]} is not named after its recipe and hash"
    try:
        return _kept((results / match[1]).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, RecursionError, UnicodeDecodeError, ValidationError) as error:
        return f"its recipe {match[1]} cannot be read: {str(error).splitlines()[0]}"


def _name_problems(record: Record, training: TrainingFacts, recipe: Recipe) -> Iterator[str]:
    is_smoke = recipe.scale == "smoke"
    if (record.scale == "smoke") != is_smoke:
        yield f"scale is {record.scale}, its recipe is {'a smoke test' if is_smoke else 'not a smoke test'}"
    if training.recipe != recipe.name:
        yield f"training.recipe is {training.recipe}, its command runs {recipe.name}"
    run_seed = seed_of_run(record.command, training)
    seed = f"seed{run_seed}"
    stem = f"{slug(recipe.name)}{'.smoke' if is_smoke else ''}.{training.stage}.{seed}"
    limit = f".limit{record.limit}" if record.limit else ""
    if record.id != f"{record.suite}/{stem}{limit}":
        yield f"its id is not that of its suite, recipe, stage, seed and limit: {record.suite}/{stem}{limit}"
    title = f"{recipe.name}{' (smoke)' if is_smoke else ''} {training.stage}, seed {training.seed}"
    if record.model.name != title:
        yield f"its name is {record.model.name!r}, that of its recipe, stage and seed {title!r}"
    if record.model.source != training.stage:
        yield f"model.source is {record.model.source!r}, its stage is {training.stage!r}"
    own = next((stage.seed for stage in recipe.stages if stage.name == training.stage), None)
    if training.seed != (run_seed if own is None else own):
        yield f"training.seed is {training.seed}, its {'command says otherwise' if own is None else f'stage has {own}'}"
    if recipe.seeds and run_seed not in recipe.seeds:
        yield f"its command runs the seed {run_seed}, its recipe declares the seeds {recipe.seeds}"


def seed_of_run(command: str, training: TrainingFacts | None) -> int:
    """Return the seed of the run that a command makes, which that of a stage need not be; 0 for no run."""
    match = _SEED.search(command)
    return int(match[1]) if match else training.seed if training else 0


def _training_problems(training: TrainingFacts, recipe: Recipe) -> Iterator[str]:
    stages = {stage.name: stage for stage in recipe.stages_of(TrainStage)}
    stage = stages.get(training.stage)
    if stage is None:
        yield f"its recipe has no training stage {training.stage!r}"
        return
    method = method_of(recipe, training.stage)
    if training.method != method:
        yield f"training.method is {training.method}, by its recipe {method}"
    if training.selection != selection_of(stage):
        yield "training.selection is not that of its recipe"
    if training.step != stage.max_steps:
        yield f"training.step is {training.step}, its recipe trains {stage.max_steps} steps"
    tokens, selected = training.tokens, training.selected_tokens
    if tokens is not None and selected is not None and selected > tokens:
        yield f"selected_tokens are {selected}, more than the {tokens} tokens"
    if isinstance(stage, PretrainStage):
        expected = stage.max_steps * stage.batch_size * recipe.stage(stage.corpus, CorpusStage).block_size
        if tokens != expected:
            yield f"tokens are {tokens}, its recipe reads {expected}"
        ratio = stage.selection.fixed_ratio if stage.selection else None
        if ratio is not None and selected is not None and selected > ratio * expected:
            yield f"selected_tokens are {selected}, more than {ratio:g} of {expected}"


def _evaluated_problems(record: Record, training: TrainingFacts, recipe: Recipe) -> Iterator[str]:
    stages = recipe.stages_of(EvalStage)
    asked = [one for stage in stages for one in stage.evaluations if training.stage in one.checkpoints]
    limits = [one.limit for one in asked if record.suite in one.suites]
    if not limits:
        yield f"its recipe does not evaluate {training.stage} on {record.suite}"
    elif None not in limits and record.limit is None:
        yield f"its recipe asks for at most {max(filter(None, limits))} documents a task, and it has no limit"
    elif set(limits) == {None} and record.limit is not None:
        yield f"its recipe asks for all documents, and it has the limit {record.limit}"
    lengths = {stage.max_model_len for stage in stages}
    if record.evaluation.engine_settings.get("max_model_len") not in lengths:
        yield "engine_settings.max_model_len is not that of its recipe"
    baselines = {pair for stage in stages for pair in baselines_of(recipe, stage.name).items()}
    expected = dict(baselines).get(training.stage)
    if record.comparison is not None:
        baseline = "" if expected is None else record.id.replace(f".{training.stage}.seed", f".{expected}.seed")
        if record.comparison.baseline != baseline:
            yield f"its baseline is {record.comparison.baseline}, by its recipe {baseline or 'it has none'}"


_FORWARD_PASSES = 2
"""Further forward passes that a selection may take at most: a score-only pass, and one of a moving average."""


def _cost_problems(record: Record, training: TrainingFacts, recipe: Recipe) -> Iterator[str]:
    """Yield where what it cost is not that of its recipe's stages, or no training of its model and tokens can take."""
    cost = record.cost
    if cost is None or training.stage not in {stage.name for stage in recipe.stages_of(TrainStage)}:
        return
    own, shared = stages_needed(recipe).of(training.stage)
    for what, parts, names in (("stages", cost.stages, own), ("shared", cost.shared, shared)):
        kinds = ["training" if isinstance(recipe.stage(name), TrainStage) else "scoring" for name in names]
        if [(part.stage, part.kind) for part in parts] != list(zip(names, kinds, strict=True)):
            yield f"cost.{what} are {[part.stage for part in parts]}, by its recipe {names}"
    elsewhere = models_from_elsewhere(recipe, [*own, *shared])
    if cost.not_counted != elsewhere:
        yield f"cost.not_counted is {cost.not_counted}, by its recipe {elsewhere}"
    if cost.own is not None and training.tokens is not None and training.selected_tokens is not None:
        yield from flops_problems(cost.own, training.stage, training.tokens, training.selected_tokens, recipe)


def flops_problems(cost: Cost, name: str, tokens: int, selected: int, recipe: Recipe) -> Iterator[str]:
    """Yield where no training of the stage ``name`` on so many tokens can take so many operations."""
    bounds = _flops_bounds(name, tokens, selected, recipe)
    found = cost.flops
    if bounds is not None and found is not None and not 0.98 * bounds[0] <= found <= 1.02 * bounds[1]:
        yield f"its training took {found:.3g} operations, its model and tokens {bounds[0]:.3g} to {bounds[1]:.3g}"


def _flops_bounds(name: str, tokens: int, selected: int, recipe: Recipe) -> tuple[float, float] | None:
    """Return the fewest and the most operations of a pretraining stage; None where they do not follow."""
    stage = recipe.stage(name, TrainStage)
    shape = stage.shape(recipe) if isinstance(stage, PretrainStage) else None
    if shape is None:
        return None
    length, passes = stage.sequence_length(recipe), _FORWARD_PASSES * tokens
    least = flops_of(shape, length, Work(tokens, selected))
    return least, flops_of(shape, length, Work(tokens, selected, passes, passes + tokens))


def expected_baseline(record: Record, results: Path) -> str | None:
    """Return the id of the baseline that a record's recipe pairs it with on its suite; None without one."""
    training = record.training
    recipe = _recipe_of(record.command, training, results) if training else ""
    if training is None or isinstance(recipe, str):
        return None
    for stage in recipe.stages_of(EvalStage):
        name = baselines_of(recipe, stage.name).get(training.stage)
        asked = [one for one in stage.evaluations if name in one.checkpoints and record.suite in one.suites]
        if name is not None and asked:
            return record.id.replace(f".{training.stage}.seed", f".{name}.seed")
    return None


def stages_needed(recipe: Recipe) -> StagesNeeded:
    """Return which stages the checkpoints of a recipe needed; kept, for a recipe has many records."""
    key = recipe_sha256(recipe)
    if key not in _needed:
        _needed[key] = StagesNeeded(recipe)
    return _needed[key]


_needed: dict[str, StagesNeeded] = {}


def declared_seeds(command: str, training: TrainingFacts, results: Path) -> list[int]:
    """Return the seeds that the recipe of a record runs with; empty where it declares none."""
    recipe = _recipe_of(command, training, results)
    return [] if isinstance(recipe, str) else list(recipe.seeds)


def is_tuning_seed(record: Record, results: Path) -> bool:
    """Tell whether the recipe of a record says that its settings were chosen on the record's seed."""
    training = record.training
    recipe = _recipe_of(record.command, training, results) if training else ""
    return training is not None and not isinstance(recipe, str) and training.seed in recipe.tuning_seeds


def start_of(command: str, training: TrainingFacts, results: Path) -> str | None:
    """Return the stage whose model a record's stage starts from; None without one."""
    recipe = _recipe_of(command, training, results)
    stages = [] if isinstance(recipe, str) else recipe.stages_of(TrainStage)
    return next((stage.init_stage for stage in stages if stage.name == training.stage), None)
