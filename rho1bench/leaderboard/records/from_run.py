"""From the folder of a run to its records: every final checkpoint on every suite, with curve and comparison.

Part of ``rho1bench leaderboard add``; ``from_evaluation`` makes what all records have. The curve of a checkpoint is the
scores of those along its training (paper figure 1), its comparison that of the recipe's pairs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from rho1bench.comparison import eval_results
from rho1bench.comparison.benchmark_overlap import corpus_overlaps
from rho1bench.comparison.costs import checkpoint_costs
from rho1bench.comparison.eval_results import LabelScores
from rho1bench.comparison.result_files import JsonObject
from rho1bench.comparison.run_summary import read_training
from rho1bench.errors import DataError, RecipeError
from rho1bench.leaderboard.records.compare import compare_records
from rho1bench.leaderboard.records.from_evaluation import base_record, ordered, slug
from rho1bench.leaderboard.records.record import (
    CurvePoint,
    Record,
    Scores,
    TrainingFacts,
    encode,
    settings_sha256,
    with_hashes,
)
from rho1bench.pipeline.fingerprint import code_hash
from rho1bench.pipeline.manifest import MANIFEST, read_manifest
from rho1bench.pipeline.runner import preview
from rho1bench.recipe import CompareStage, EvalStage, Recipe, ReportStage, ScoreStage, SFTStage, TrainStage
from rho1bench.recipe.loading.load import load_recipe, shipped_recipes
from rho1bench.recipe.part import part_of
from rho1bench.recipe.smoke import smoke
from rho1bench.system.files import changed_files, read_jsonl

_SHOWN = 5
_HEAD = "# Written by `rho1bench leaderboard add`. Local files that it names belong beside it.\n"


@dataclass(frozen=True)
class Run:
    """One seed's run: its recipe as it was carried out, and its folder."""

    recipe: Recipe
    folder: Path

    @property
    def is_smoke(self) -> bool:
        """True for a run with ``--scale smoke``."""
        return self.recipe.scale == "smoke"

    def stage_folder(self, name: str) -> Path:
        """Return the folder of a stage."""
        return self.folder / "stages" / name


def find_runs(folder: Path) -> list[Run]:
    """Return the runs in a run folder, one a seed; empty where it is no run folder.

    A run without a report is one as well. Raises DataError for seeds that have not begun.
    """
    if not (folder / "recipe.yaml").is_file():
        return []
    whole = _read_recipe(folder / "recipe.yaml")
    places = [folder / f"seed-{seed}" for seed in whole.seeds] or [folder]
    missing = [place.name for place in places if not (place / "recipe.yaml").is_file()]
    if missing:
        raise DataError(
            f"{folder}: this run is not finished, {', '.join(missing)} of {len(places)} seeds have not begun. "
            "The `rho1bench run` command that made it continues it."
        )
    return [Run(_read_recipe(place / "recipe.yaml"), place) for place in places]


def _read_recipe(path: Path) -> Recipe:
    try:
        return load_recipe(str(path))
    except RecipeError as error:
        raise DataError(f"{path}: the recipe of this run cannot be read by this version:\n{error}") from error


def check_run(run: Run) -> None:
    """Raise DataError unless every stage is what its recipe, code and inputs make, byte for byte.

    The report is left out: nothing of a record comes from it.
    """
    decisions = [(stage, one) for stage, one in preview(run.recipe, run.folder) if not isinstance(stage, ReportStage)]
    missing = [stage.name for stage, one in decisions if one.action != "skip" and not one.set_aside]
    if missing:
        raise DataError(
            f"{run.folder}: this run is not finished, {len(missing)} of {len(decisions)} stages are missing: "
            f"{', '.join(missing[:_SHOWN])}{', ...' if len(missing) > _SHOWN else ''}. "
            "The `rho1bench run` command that made it continues it."
        )
    for stage, decision in decisions:
        folder = run.stage_folder(stage.name)
        fault = "" if decision.action == "skip" and not decision.versions else decision.reason
        fault = fault or _changed_file(folder)
        if fault:
            raise DataError(
                f"{folder}: {fault}. Records are made only of what a run has left; "
                f"the same `rho1bench run` command makes this stage again."
            )


def _changed_file(folder: Path) -> str:
    """Say which file of a finished stage is not as it was written, every byte of it read; empty if none is."""
    manifest = read_manifest(folder)
    if manifest is None:
        return "it is not finished"
    if manifest.other_code:
        return f"it was adopted from {manifest.adopted_from}, and other code than this made it"
    changed = changed_files(folder, manifest.hashes)
    if changed:
        return f"{changed[0]} has another content"
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    foreign = sorted(present - set(manifest.files) - {MANIFEST})
    return f"{foreign[0]} was not written by the stage" if foreign else ""


def pack_run(run: Run) -> Iterator[Record]:
    """Yield the records of single models of a run; those that a contest holds alone are in its record.

    Raises DataError where stages are missing, changed or do not fit.
    """
    check_run(run)
    for stage in run.recipe.stages_of(EvalStage):
        folder = run.stage_folder(stage.name)
        _check_labels(folder, {name for item in stage.evaluations for name in item.checkpoints})
        elsewhere = run.recipe.only_in_contests
        found = [label for label in eval_results.labels(folder) if label.partition("@")[0] not in elsewhere]
        scores = {label: eval_results.read_label(folder, label) for label in found}
        yield from _pack_evaluation(run, stage, scores)


def _check_labels(folder: Path, stages: Collection[str]) -> None:
    """Raise DataError for a checkpoint that the recipe does not evaluate, or whose results say that they changed."""
    for label in eval_results.labels(folder):
        if label.partition("@")[0] not in stages:
            raise DataError(f"{folder / label}: the run's recipe evaluates no checkpoint of this name. Remove it.")
        results = eval_results.read_results(folder, label)
        if results.samples_sha256:  # of texts alone there are none
            eval_results.check_unchanged(folder / label, results)


def _pack_evaluation(run: Run, stage: EvalStage, scores: Mapping[str, LabelScores]) -> Iterator[Record]:
    recipe = run.recipe
    title = f"{recipe.name} (smoke)" if run.is_smoke else recipe.name
    stem = f"{slug(recipe.name)}.smoke" if run.is_smoke else slug(recipe.name)
    records: dict[tuple[str, str], Record] = {}
    folders = {one.name: run.stage_folder(one.name) for one in recipe.stages}
    costs = checkpoint_costs(recipe, folders)
    for label, found in scores.items():
        if "@" in label:
            continue
        facts = training_facts(run, label)
        for suite in found.suites:
            name, file = f"{title} {label}, seed {facts.seed}", f"{stem}.{label}.seed{recipe.seed}"
            extra: dict[str, object] = {
                "training": facts,
                "command": run_command(run),
                "curve": _curve(run, facts, suite, scores),
                "cost": costs.get(label),
                "benchmark_overlap": corpus_overlaps(part_of(recipe, [label]), folders) or None,
            }
            base = base_record(found, suite, name, file)
            if base.code is not None:
                extra["code"] = base.code.model_copy(update={"training": training_code(recipe, label)})
            records[label, suite] = with_hashes(
                base.model_copy(update=extra | ({"scale": "smoke"} if run.is_smoke else {}))
            )
    baselines = baselines_of(recipe, stage.name)
    for (label, suite), record in records.items():
        baseline = records.get((baselines.get(label, ""), suite))
        yield compare_records(record, baseline, seed=recipe.seed) if baseline else record


def baselines_of(recipe: Recipe, evaluation: str) -> dict[str, str]:
    """Return the baseline of every treatment that the recipe compares."""
    stages = [stage for stage in recipe.stages_of(CompareStage) if stage.evaluation == evaluation]
    return {pair.treatment: pair.baseline for stage in stages for pair in stage.pairs}


def training_facts(run: Run, label: str) -> TrainingFacts:
    """Return a record's ``training`` for the final checkpoint of the stage ``label``."""
    stage = run.recipe.stage(label, TrainStage)
    training = read_training(run.stage_folder(label))
    return TrainingFacts(
        recipe=run.recipe.name,
        recipe_sha256=recipe_sha256(run.recipe),
        stage=label,
        method=method_of(run.recipe, label),
        selection=selection_of(stage),
        seed=run.recipe.seed_of(stage),
        step=training.max_steps,
        tokens=training.tokens,
        selected_tokens=training.selected_tokens,
        validation_loss=_validation_loss(run.stage_folder(label) / "metrics.jsonl"),
    )


def training_code(recipe: Recipe, label: str) -> str:
    """Return the hash of the code that trains a stage; :func:`check_run` holds that it made the run's."""
    spec = recipe.stage(label, TrainStage).spec
    return code_hash(spec.entry, spec.shipped)


def selection_of(stage: TrainStage) -> JsonObject | None:
    """Return what a stage sets of its token selection; None where it trains on every token."""
    return stage.selection.model_dump(mode="json", exclude_defaults=True) if stage.selection else None


def recipe_sha256(recipe: Recipe) -> str:
    """Return the hash of what a recipe sets, seeds left out."""
    return settings_sha256(_portable(recipe))


def _portable(recipe: Recipe) -> JsonObject:
    """Return what a recipe sets, of local files the name alone, without their place on this machine."""

    def named(value: Any) -> Any:
        if isinstance(value, list):
            return [named(item) for item in value]
        if not isinstance(value, dict):
            return value
        found = {key: named(item) for key, item in value.items()}
        return found | {"path": Path(found["path"]).name} if found.get("type") == "local" else found

    portable: JsonObject = named(recipe.model_dump(mode="json", exclude_defaults=True))
    return portable


def method_of(recipe: Recipe, label: str) -> str:
    """Return ``slm`` or ``clm`` by the last pretraining, ``base`` or ``reference`` by the part that a stage plays."""
    stage = recipe.stage(label, TrainStage)
    sft_stages = recipe.stages_of(SFTStage)
    if stage in sft_stages and stage.init_stage is not None:
        return f"{method_of(recipe, stage.init_stage)}-sft"
    if stage.selection is not None:
        return "slm"
    references = [score.reference for score in recipe.stages_of(ScoreStage)] + [sft.reference for sft in sft_stages]
    if label in references:
        return "reference"
    if label in [other.init_stage for other in recipe.stages_of(TrainStage) if other not in sft_stages]:
        return "base"
    return "clm"


def _validation_loss(path: Path) -> float | None:
    rows = read_jsonl(path) if path.is_file() else []
    losses = [row["validation_loss"] for row in rows if row.get("validation_loss") is not None]
    return float(losses[-1]) if losses else None


def run_command(run: Run) -> str:
    """Return the command that makes the run again; a recipe that is not the shipped one stands beside the record."""
    name = run.recipe.name
    whole = shipped(name, run.is_smoke)
    scale = " --scale smoke" if run.is_smoke else ""
    for only in ("", *_ends(run.recipe)):
        if whole is not None and recipe_sha256(shipped_part(whole, only)) == recipe_sha256(run.recipe):
            return f"rho1bench run {name}{scale}{only and ' --only '}{only} --seed {run.recipe.seed}"
    return f"rho1bench run results/{recipe_path(run.recipe)} --seed {run.recipe.seed}"


@cache
def shipped(name: str, is_smoke: bool) -> Recipe | None:
    """Return a shipped recipe, loaded once; None for one that does not ship, or not in order."""
    if name not in shipped_recipes():
        return None
    try:
        recipe = load_recipe(name)
    except RecipeError:
        return None
    return smoke(recipe) if is_smoke else recipe


def _ends(recipe: Recipe) -> list[str]:
    """Return the last stage of a recipe where it may be a part of one with a comparison a cell."""
    return [stage.name for stage in recipe.stages[-1:] if isinstance(stage, CompareStage)]


def shipped_part(recipe: Recipe, only: str) -> Recipe:
    """Return the part of a recipe that a command with ``--only`` runs; all of it without."""
    known = any(stage.name == only for stage in recipe.stages)
    return part_of(recipe, [only]) if known else recipe


def recipe_path(recipe: Recipe) -> str:
    """Return where under results/ a recipe that does not ship is kept."""
    return f"recipes/{slug(recipe.name)}.{recipe_sha256(recipe)[:8]}.yaml"


def recipe_text(recipe: Recipe) -> str:
    """Return a recipe as a file that loads as itself, once the local files that it names lie beside it."""
    data = {**_portable(recipe), "seed": 0, "seeds": []}
    return _HEAD + str(yaml.safe_dump(data, sort_keys=False, width=120))


def _curve(run: Run, end: TrainingFacts, suite: str, scores: Mapping[str, LabelScores]) -> list[CurvePoint]:
    """Return the points of figure 1: where the stage began, the checkpoints along the way, its ``end``."""
    label = end.stage
    along = [name for name in scores if name.startswith(f"{label}@") and suite in scores[name].suites]
    if not along:
        return []
    places: list[tuple[str, int, int, int]] = []
    start = run.recipe.stage(label, TrainStage).init_stage
    if start is not None and start in scores and suite in scores[start].suites:
        places.append((start, 0, 0, 0))
    for name in along:
        found = scores[name].results
        places.append((name, found.step or 0, found.tokens or 0, found.selected_tokens or 0))
    places.append((label, end.step or 0, end.tokens or 0, end.selected_tokens or 0))
    sizes = {
        task: min(len(scores[name].tasks[task].scores) for name, *_ in places) for task in scores[label].suites[suite]
    }
    points = [
        CurvePoint(step=step, tokens=tokens, selected_tokens=selected, scores=_first(scores[name], sizes))
        for name, step, tokens, selected in places
    ]
    return sorted(points, key=lambda point: point.tokens)


def _first(scores: LabelScores, sizes: Mapping[str, int]) -> dict[str, Scores]:
    """Return the scores of the first documents of each task."""
    found = {task: scores.tasks[task] for task in sizes}
    return {task: encode([one.scores[doc_id] for doc_id in ordered(one)[: sizes[task]]]) for task, one in found.items()}
