"""What an atlas is to hold: its corpus, stored scores, checkpoints and rules; as a stage asks for it, or from a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from rho1bench.analysis.run_folder import recipe_of_run
from rho1bench.errors import DataError
from rho1bench.recipe import CorpusStage, PretrainStage, Recipe, ScoreStage, Selection
from rho1bench.recipe.models.score_names import known_score

PAPERS_RULES = ("excess_loss", "reference_loss", "reference_entropy", "training_loss")
"""Shown where their inputs are known: the paper's (sections 2.2 and 3.4), and the model's own loss."""
PAPERS_RATIO = 0.6
_STEP = re.compile(r"(.+)@0*(\d+)")


@dataclass(frozen=True)
class RuleUse:
    """A rule with its parameters; what they leave out has the rule's defaults."""

    name: str
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name, and the parameters that are given."""
        given = ", ".join(f"{key} {value}" for key, value in self.parameters.items())
        return f"{self.name} ({given})" if given else self.name


@dataclass(frozen=True)
class AtlasRequest:
    """Folders of finished stages, and what is wanted of them."""

    corpus: Path
    tokenizer: Path
    stores: Mapping[str, Path]
    """Score stores of the corpus by the name that rules read them under; ``reference`` is shown, too."""
    checkpoints: Mapping[str, Path]
    """By label, ``slm`` or ``slm@000150``."""
    rules: Sequence[RuleUse]
    """Those whose inputs must be known."""
    further_rules: Sequence[RuleUse] = ()
    """Those that are left out where an input is not."""
    num_tokens: int = 2**20
    ratio: float = PAPERS_RATIO
    """The share that the page shows as kept at first."""
    batch_size: int = 64
    seed: int = 0


def further_rules(rules: Sequence[RuleUse]) -> list[RuleUse]:
    """Return the paper's rules without those that are there anyway."""
    return [RuleUse(name) for name in PAPERS_RULES if RuleUse(name) not in rules]


def request_of_run(
    run: Path, corpus: str | None, labels: Sequence[str], rules: Sequence[str], num_tokens: int, batch_size: int
) -> AtlasRequest:
    """Return what an atlas of a run holds, from its recipe.

    Where nothing else is said: the corpus that the first selective stage reads, the checkpoint that this stage starts
    from and its last one, and the rules that stages of the run select by, besides the paper's. Raises DataError for a
    folder that is no run of one seed, and for stages and checkpoints that it does not have.
    """
    recipe = recipe_of_run(run)
    stages = run / "stages"
    reader = _first_reader(recipe, corpus)
    selections = [one for stage in recipe.stages_of(PretrainStage) for one in _selections(stage, reader.corpus)]
    used = [RuleUse(part.score, dict(part.parameters)) for one in selections for part in one.parts]
    wanted = [_rule(name) for name in rules]
    chosen = list(labels) or [name for name in (reader.init_stage, reader.name) if name is not None]
    packed = recipe.stage(reader.corpus, CorpusStage)
    ratios = [one.fixed_ratio for one in selections if one.fixed_ratio and one.fixed_ratio < 1.0]
    return AtlasRequest(
        corpus=stages / packed.name,
        tokenizer=stages / packed.tokenizer / "tokenizer",
        stores={name: stages / stage for name, stage in _stores(recipe, selections, reader.corpus).items()},
        checkpoints={label: _checkpoint(run, label) for label in dict.fromkeys(chosen)},
        rules=wanted,
        further_rules=[] if wanted else list({one.label: one for one in [*used, *further_rules(used)]}.values()),
        num_tokens=num_tokens,
        ratio=ratios[0] if ratios else PAPERS_RATIO,
        batch_size=batch_size,
        seed=recipe.seed,
    )


def _rule(name: str) -> RuleUse:
    try:
        return RuleUse(known_score(name))
    except ValueError as error:
        raise DataError(f"--rule {name}: {error}; `rho1bench rules` says what they read.") from error


def _first_reader(recipe: Recipe, corpus: str | None) -> PretrainStage:
    """Return the first selective stage that trains on ``corpus`` (on any, if None), else the last that trains on it."""
    readers = [stage for stage in recipe.stages_of(PretrainStage) if corpus in (None, stage.corpus)]
    if not readers:
        known = ", ".join(dict.fromkeys(stage.corpus for stage in recipe.stages_of(PretrainStage))) or "none"
        raise DataError(
            f"no stage of this run trains on a corpus {corpus or ''!r}. Corpora that stages train on: {known}."
        )
    return next((stage for stage in readers if stage.selection is not None), readers[-1])


def _selections(stage: PretrainStage, corpus: str) -> list[Selection]:
    return [one for one in (stage.selection, stage.monitor) if one is not None and stage.corpus == corpus]


def _stores(recipe: Recipe, selections: Sequence[Selection], corpus: str) -> dict[str, str]:
    """Return the score stages of a corpus by name: as selections call them, else the first one as the reference."""
    found: dict[str, str] = {}
    for selection in selections:
        found = selection.stores | found
    scored = [stage.name for stage in recipe.stages_of(ScoreStage) if stage.corpus == corpus]
    return found or ({"reference": scored[0]} if scored else {})


def _checkpoint(run: Path, label: str) -> Path:
    """Return the folder of a checkpoint; raises DataError where the run has none."""
    along = _STEP.fullmatch(label)
    stage = run / "stages" / (along[1] if along else label)
    folder = stage / "checkpoints" / f"step-{int(along[2]):06d}" if along else stage / "checkpoint"
    if not (folder / "config.json").is_file():
        known = [path.parent.name for path in sorted((run / "stages").glob("*/checkpoint"))]
        steps = ", ".join(str(int(path.name[5:])) for path in sorted((stage / "checkpoints").glob("step-*")))
        hint = f"; along the way of {stage.name}: @{steps}" if steps else ""
        raise DataError(f"{run}: has no checkpoint {label!r}. Checkpoints: {', '.join(known) or 'none'}{hint}.")
    return folder
