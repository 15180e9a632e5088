"""What a checkpoint cost: its own training, and what it alone needed (a reference's training, scoring).

Place in the pipeline: stages leave their :class:`~rho1bench.sizing.cost.Cost`; ``compare`` adds them up along the
recipe and writes the sums into ``comparison.json``; ``report`` and the leaderboard's records take them from there. The
paper counts training tokens alone (figure 1); its reference model and the scoring of the corpus cost too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from rho1bench.comparison.result_files import ResultModel
from rho1bench.errors import DataError
from rho1bench.recipe import EvalStage, PretrainedModel, Recipe, ScoreStage, SFTStage, StageBase, TrainStage, references
from rho1bench.recipe.models.selection import Selection
from rho1bench.sizing.cost import Cost, total_cost
from rho1bench.system.files import read_json

_FILES = {"training": "training.json", "scoring": "scores.json"}
"""Where a stage says what it took."""
_MEASUREMENTS = ("monitor", "validation")
"""Fields of a stage that change nothing in its result."""


class StageCost(ResultModel):
    """One stage's part in the cost of a checkpoint."""

    stage: str
    kind: Literal["training", "scoring"]
    cost: Cost


class CheckpointCost(ResultModel):
    """What the final checkpoint of a stage cost."""

    stages: list[StageCost]
    """In the recipe's order, its own training last; empty for a checkpoint that all others start from."""
    total: Cost
    """Of ``stages``."""
    shared: list[StageCost]
    """What it took to make the checkpoint that all others start from too; not in ``total``."""
    not_counted: list[str] = []
    """Models from elsewhere that it needed; what these took is not known."""

    @property
    def own(self) -> Cost | None:
        """Of its own training; None for a checkpoint that all others start from."""
        return self.stages[-1].cost if self.stages else None

    @property
    def ahead_flops(self) -> float | None:
        """Operations before its own training began; None where some are not known."""
        if self.total.flops is None or self.own is None or self.own.flops is None:
            return None
        return self.total.flops - self.own.flops


def checkpoint_costs(recipe: Recipe, folders: Mapping[str, Path]) -> dict[str, CheckpointCost]:
    """Return the cost of every evaluated final checkpoint by its label, the name of its stage.

    ``folders``: the stages' folders by name. One that needs a stage which left no cost (of an earlier version) is not
    among them. Raises ``DataError`` for a stage's file that is broken.
    """
    found: dict[str, StageCost | None] = {}
    costs, stages = {}, StagesNeeded(recipe)
    for label in evaluated_checkpoints(recipe):
        needed, shared = stages.of(label)
        for name in (*needed, *shared):
            if name not in found:
                found[name] = _stage_cost(recipe.stage(name), folders[name])
        parts = [[found[name] for name in names] for names in (needed, shared)]
        own, before = ([part for part in names if part is not None] for names in parts)
        if (len(own), len(before)) == (len(needed), len(shared)):
            costs[label] = CheckpointCost(
                stages=own,
                total=total_cost(part.cost for part in own),
                shared=before,
                not_counted=models_from_elsewhere(recipe, [*needed, *shared]),
            )
    return costs


def _stage_cost(stage: StageBase, folder: Path) -> StageCost | None:
    kind: Literal["training", "scoring"] = "training" if isinstance(stage, TrainStage) else "scoring"
    path = folder / _FILES[kind]
    if not path.exists():
        return None
    try:
        data = read_json(path).get("cost")
        return None if data is None else StageCost(stage=stage.name, kind=kind, cost=Cost.model_validate(data))
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: not the record of a {kind} stage ({error}). Run the stage again.") from error


def evaluated_checkpoints(recipe: Recipe) -> list[str]:
    """Return the stages whose last checkpoints the recipe evaluates."""
    return list(dict.fromkeys(name for stage in recipe.stages_of(EvalStage) for name in stage.final_checkpoints))


class StagesNeeded:
    """Which stages of a recipe each evaluated checkpoint needed. Only stages that train or score are named.

    Stages are shared if at least two evaluated checkpoints start from them, and each of the others is their model or
    was made on the way to it: usually the base model.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._order = [stage.name for stage in recipe.stages if isinstance(stage, TrainStage | ScoreStage)]
        self._shared = {need for name in _common_starts(recipe) for need in _closure(recipe, name)}

    def of(self, label: str) -> tuple[list[str], list[str]]:
        """Return what the checkpoint ``label`` alone needed, itself last, and what is shared, in the recipe's order.

        The first list is empty if ``label`` itself is shared.
        """
        needed = _closure(self._recipe, label)
        alone = [name for name in self._order if name in needed - self._shared - {label}]
        own = [] if label in self._shared else [*alone, label]
        return own, [name for name in self._order if name in needed & self._shared]


def _common_starts(recipe: Recipe) -> Iterator[str]:
    chains = [_chain(recipe, label) for label in evaluated_checkpoints(recipe)]
    for name in dict.fromkeys(name for chain in chains for name in chain):
        way = _chain(recipe, name)
        starting = [chain for chain in chains if name in chain[:-1]]
        if len(starting) > 1 and all(name in chain or chain[-1] in way for chain in chains):
            yield name


def _chain(recipe: Recipe, name: str) -> list[str]:
    """Return the stages from whose models ``name`` started, the first one first, ``name`` last."""
    start = recipe.stage(name, TrainStage).init_stage
    return [name] if start is None else [*_chain(recipe, start), name]


def _closure(recipe: Recipe, name: str) -> set[str]:
    """Return ``name`` and all stages that its result depends on."""
    found = {name}
    for other in _read_by(recipe.stage(name)):
        found |= _closure(recipe, other)
    return found


def _read_by(stage: StageBase) -> Iterator[str]:
    """Yield the stages that ``stage`` reads for its result; scores that its rule does not look at are left out."""
    selection = stage.selection if isinstance(stage, TrainStage) else None
    stores = _stores_read(selection)
    for path, name, _ in references(stage):
        field = path.partition(".")[0]
        if field == "selection":
            if selection is not None and name in {selection.stores.get(store) for store in stores}:
                yield name
        elif field == "reference" and isinstance(stage, SFTStage):
            if "reference" in stores:
                yield name
        elif field not in _MEASUREMENTS:
            yield name


def _stores_read(selection: Selection | None) -> set[str]:
    """Return the names of the stored scores that the rules of a selection look at."""
    parts = [] if selection is None else selection.parts
    read = [part for part in parts if part.ratio != 1.0 or part.spec.gives == "weights"]
    return {store for part in read for store in part.spec.stores}


def models_from_elsewhere(recipe: Recipe, names: Sequence[str]) -> list[str]:
    """Return the models that no stage has made and that the stages ``names`` read: by hub id, folder, or server."""
    found = []
    for name in names:
        stage = recipe.stage(name)
        parts: list[object] = [stage.init] if isinstance(stage, TrainStage) else []
        parts += [stage.reference] if isinstance(stage, ScoreStage | SFTStage) else []
        found += [part.pretrained for part in parts if isinstance(part, PretrainedModel)]
        if isinstance(stage, ScoreStage) and stage.server is not None:
            found.append(stage.server.model)
    return list(dict.fromkeys(found))
