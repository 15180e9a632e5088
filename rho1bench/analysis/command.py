"""``rho1bench analyze``: the stage ``analysis`` on the folder of a run, whether or not its recipe has one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rho1bench.analysis.run_folder import context_in_run, recipe_of_run
from rho1bench.analysis.stage import run
from rho1bench.errors import DataError
from rho1bench.pipeline.stage import RunOptions
from rho1bench.recipe import AnalysisStage, EvalStage, PretrainStage, Recipe
from rho1bench.system.files import remove_temporaries
from rho1bench.system.progress import Progress


def analyze(
    folder: Path,
    output: Path | None,
    stages: Sequence[str],
    corpus: str | None,
    suite: str | None,
    num_tokens: int,
    num_threads: int | None = None,
) -> Path:
    """Analyse the run in ``folder`` and return the folder of the results; default: ``analysis/`` inside the run.

    Raises DataError for a folder that holds no run of one seed, and for stages that the run does not have.
    """
    recipe = recipe_of_run(folder)
    place = output or folder / "analysis"
    chosen = list(stages) or default_stages(recipe, folder)
    fields = {"corpus": corpus, "suite": suite, "evaluation": _evaluation(recipe, folder), "num_tokens": num_tokens}
    stage = AnalysisStage.model_validate({"name": "analysis", "kind": "analysis", "curves": chosen} | fields)
    _check(recipe, folder, stage)
    place.mkdir(parents=True, exist_ok=True)
    remove_temporaries(place)
    progress = Progress("analyze")
    try:
        run(context_in_run(recipe, folder, stage, place, progress, RunOptions(num_threads=num_threads)))
    finally:
        progress.close()
    return place


def default_stages(recipe: Recipe, folder: Path) -> list[str]:
    """Return the first stage of the run that is finished and selects by more than chance, and its full-token baseline.

    The baseline reads the same text from the same start. Without a selective stage: the last pretraining stage.
    """
    done = [stage for stage in recipe.stages_of(PretrainStage) if _is_done(folder, stage.name)]
    if not done:
        raise DataError(f"{folder}: no pretraining stage of this run is finished. `rho1bench run` continues it.")
    chosen = [stage for stage in done if stage.selection is not None]
    selective = next((stage for stage in chosen if stage.selection and stage.selection.score != "random"), None)
    selective = selective or next(iter(chosen), None)
    if selective is None:
        return [done[-1].name]
    same = (selective.corpus, selective.init, selective.max_steps)
    plain = [one for one in done if one.selection is None and (one.corpus, one.init, one.max_steps) == same]
    return [selective.name, *(one.name for one in plain[:1])]


def _is_done(folder: Path, name: str) -> bool:
    return (folder / "stages" / name / "checkpoint" / "config.json").is_file()


def _evaluation(recipe: Recipe, folder: Path) -> str | None:
    stages = [
        one.name for one in recipe.stages_of(EvalStage) if (folder / "stages" / one.name / "manifest.json").is_file()
    ]
    return stages[0] if stages else None


def _check(recipe: Recipe, folder: Path, stage: AnalysisStage) -> None:
    known = [one.name for one in recipe.stages_of(PretrainStage)]
    for name in stage.curves:
        if name not in known:
            raise DataError(f"{folder}: has no pretraining stage {name!r}; it has {', '.join(known)}.")
        if not _is_done(folder, name):
            raise DataError(f"{folder}: the stage {name!r} is not finished. `rho1bench run` continues it.")
    if stage.corpus is not None and not (folder / "stages" / stage.corpus / "corpus.json").is_file():
        corpora = [one.name for one in recipe.stages if one.kind == "corpus"]
        raise DataError(f"{folder}: has no corpus {stage.corpus!r}; it has {', '.join(corpora)}.")
