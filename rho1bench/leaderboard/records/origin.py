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

from rho1bench.comparison.costs import StagesNeeded, models_from_elsewhere
from rho1bench.leaderboard.records.evaluation_checks import evaluation_problems, protocol_problems, stage_problems
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
from rho1bench.leaderboard.records.training_checks import (
    Trained,
    cost_problems,
    curve_problems,
    overlap_problems,
    own_flops_problems,
    training_problems,
)
from rho1bench.recipe import EvalStage, Recipe, TrainStage
from rho1bench.recipe.loading.yaml_text import parse_yaml

_SHIPPED = re.compile(r"rho1bench run ([a-z0-9_-]+)( --scale smoke)?(?: --only ([\w.-]+))? --seed (?:0|[1-9][0-9]*)")
_SEED = re.compile(r" --seed ([0-9]+)\Z")
_KEPT = re.compile(r"rho1bench run results/(recipes/[a-z0-9._-]+\.yaml) --seed (?:0|[1-9][0-9]*)")


def kept_recipe_problems(command: str, sha256: str, results: Path) -> Iterator[str]:
    """Yield what is wrong with the recipe that is kept for a record because it does not ship."""
    match = _KEPT.search(command)
    if match is None:
        return
    try:
        recipe = _parsed((results / match[1]).read_text(encoding="utf-8"))
        fits = settings_sha256(recipe) == sha256
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        yield f"its recipe {match[1]} cannot be read: {_line(error)}"
        return
    if not fits:
        yield f"{match[1]} is not the recipe that it was made with"


@lru_cache(maxsize=64)
def _parsed(text: str) -> Any:
    data = parse_yaml(text)
    if not isinstance(data, dict):
        raise ValueError("it is no mapping of a recipe's keys")
    return data


@lru_cache(maxsize=64)
def _kept(text: str) -> Recipe:
    return Recipe.model_validate(_parsed(text))


def origin_problems(record: Record, results: Path) -> Iterator[str]:
    """Yield where a record is not what its own command would make."""
    yield from evaluation_problems(record.evaluation)
    yield from protocol_problems(record.evaluation, [record.suite])
    if record.training is None:
        yield from _evaluation_problems(record)
        return
    recipe = _recipe_of(record.command, record.training, results)
    if isinstance(recipe, str):
        yield recipe
        return
    yield from _name_problems(record, record.training, recipe)
    yield from _training_problems(record, record.training, recipe)
    yield from _evaluated_problems(record, record.training, recipe)
    yield from curve_problems(record, record.training, recipe)
    yield from overlap_problems(record, record.training, recipe)
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
    if (record.code and record.code.training) or record.benchmark_overlap is not None:
        yield "it is no record of a run, yet names the code of a training or what its corpora hold of benchmarks"


def _recipe_of(command: str, training: TrainingFacts, results: Path) -> Recipe | str:
    return recipe_of(command, training.recipe, training.recipe_sha256, results)


def recipe_of(command: str, name: str, sha256: str, results: Path) -> Recipe | str:
    """Return the recipe called ``name`` of a record that ``command`` makes, or what is wrong."""
    if match := _SHIPPED.fullmatch(command):
        found = _shipped_part(match[1], match[2] is not None, match[3] or "")
        if found is None:
            return f"no recipe called {match[1]} ships"
        recipe, known = found
        if match[3] is not None and known == _of_whole(match[1], match[2] is not None):
            return f"its command names a part, --only {match[3]}, and its recipe is the whole one"
        if known != sha256:
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
    except (OSError, yaml.YAMLError, RecursionError, ValueError) as error:
        return f"its recipe {match[1]} cannot be read: {_line(error)}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


@lru_cache(maxsize=256)
def _shipped_part(name: str, is_smoke: bool, only: str) -> tuple[Recipe, str] | None:
    """Return what a command runs of a shipped recipe, with its hash; None for one that does not ship."""
    recipe = shipped(name, is_smoke)
    if recipe is None:
        return None
    part = shipped_part(recipe, only)
    return part, recipe_sha256(part)


def _of_whole(name: str, is_smoke: bool) -> str:
    whole = _shipped_part(name, is_smoke, "")
    return whole[1] if whole else ""


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


def _training_problems(record: Record, training: TrainingFacts, recipe: Recipe) -> Iterator[str]:
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
    if record.model.revision is not None:
        yield f"model.revision is {record.model.revision}, a model that a recipe trains has none"
    if record.code is not None and record.code.training is None:
        yield "code.training is missing, of a model that a recipe trains it is known"
    yield from training_problems(trained(record, training), recipe)


def trained(record: Record, training: TrainingFacts) -> Trained:
    """Return what a record says of its model's training."""
    return Trained(
        stage=training.stage,
        step=training.step,
        tokens=training.tokens,
        selected_tokens=training.selected_tokens,
        validation_loss=training.validation_loss,
        num_parameters=record.model.num_parameters,
        weights_sha256=record.model.weights_sha256,
    )


def _evaluated_problems(record: Record, training: TrainingFacts, recipe: Recipe) -> Iterator[str]:
    stages = recipe.stages_of(EvalStage)
    asked = [(stage, item) for stage in stages for item in stage.evaluations if training.stage in item.checkpoints]
    of_suite = [(stage, item) for stage, item in asked if record.suite in item.suites]
    limits = {item.limit for _, item in of_suite if not item.trajectory}
    if not limits:
        yield f"its recipe does not evaluate {training.stage} on {record.suite}"
    elif record.limit not in limits:
        yield f"its limit is {record.limit}, its recipe asks for {limit_words(limits)} documents a task"
    if limits:
        yield from stage_problems(record.evaluation, of_suite[0][0], seed_of_run(record.command, training))
    baselines = {pair for stage in stages for pair in baselines_of(recipe, stage.name).items()}
    expected = dict(baselines).get(training.stage)
    if record.comparison is not None:
        baseline = "" if expected is None else record.id.replace(f".{training.stage}.seed", f".{expected}.seed")
        if record.comparison.baseline != baseline:
            yield f"its baseline is {record.comparison.baseline}, by its recipe {baseline or 'it has none'}"


def limit_words(limits: set[int | None]) -> str:
    """Return the limits of a suite's evaluations in words."""
    return " or ".join("all" if limit is None else f"at most {limit}" for limit in limits)


def _cost_problems(record: Record, training: TrainingFacts, recipe: Recipe) -> Iterator[str]:
    """Yield where what it cost is not that of its recipe's stages, or no training of its model and tokens can take."""
    cost = record.cost
    if cost is None and record.code is not None:
        yield "its cost is missing; all versions that name their code know it"
    if cost is None or training.stage not in {stage.name for stage in recipe.stages_of(TrainStage)}:
        return
    own, shared = stages_needed(recipe).of(training.stage)
    for what, parts, names in (("stages", cost.stages, own), ("shared", cost.shared, shared)):
        kinds = ["training" if isinstance(recipe.stage(name), TrainStage) else "scoring" for name in names]
        if [(part.stage, part.kind) for part in parts] != list(zip(names, kinds, strict=True)):
            yield f"cost.{what} are {[part.stage for part in parts]}, by its recipe {names}"
        yield from cost_problems((part for part in parts if part.stage in names), recipe)
    elsewhere = models_from_elsewhere(recipe, [*own, *shared])
    if cost.not_counted != elsewhere:
        yield f"cost.not_counted is {cost.not_counted}, by its recipe {elsewhere}"
    if cost.own is not None:
        yield from own_flops_problems(cost.own, trained(record, training), recipe)


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
