"""A recipe with a contest, and what its stages would have left: for tests of statistics, report and leaderboard."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from eval_folders import write_bits, write_label
from small_recipe import SMALL, stage

from rho1bench.pipeline.fingerprint import Fingerprint, stage_fingerprint
from rho1bench.pipeline.manifest import Attempt
from rho1bench.pipeline.runner import preview
from rho1bench.recipe import CorpusStage, EvalStage, PretrainStage, Recipe, ScoreStage, TrainStage
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.recipe.loading.yaml_text import dump_yaml
from rho1bench.recipe.texts import stages_read, text_of
from rho1bench.sizing.flops import Work, flops_of
from rho1bench.system.files import sha256_bytes, write_json

Json = dict[str, Any]
TASKS = [f"task_{letter}" for letter in "abcdef"]
SUITE = "mini_gsm8k"
DEV = "mini_svamp"
SKILL = {"full": 0.4, "random": 0.41, "excess": 0.55, "reference": 0.7, "filtered": 0.6, "base": 0.2}
"""True accuracy of each arm, the same on every task."""
BEST = {"full": "lr2e-3", "random": "lr1e-3", "excess": "lr2e-3"}
"""The setting with the lowest validation loss."""
NUM_BLOCKS = 8
"""Of the corpus ``web``."""
RULES = {
    "full": None,
    "random": {"score": "random", "ratio": 0.6},
    "excess": {"score": "excess_loss", "ratio": 0.6, "token_scores": "scores"},
}
CONTEST: Json = {
    "arms": ["arm"],
    "full": "full",
    "random": "random",
    "controls": ["reference", "filtered"],
    "choose": "learning_rate",
    "tuning_seeds": [0],
    "margin": 3.0,
}
Edit = Callable[[Json], None]


def contest_data(edit: Edit = lambda data: None, seeds: int = 4) -> Json:
    """The raw data of a recipe: three rules and one control over learning rates and seeds, and a reference."""
    data: Json = yaml.safe_load(SMALL.read_text())
    data["name"] = "contest_small"
    data["stages"] = [item for item in data["stages"] if item["name"] != "slm"]
    by_seed = {"seed": list(range(seeds))}
    stage(data, "base")["max_steps"] = 10
    arm = stage(data, "clm")
    arm.update(name="arm", validation="web", validation_steps=10)
    filtered = copy.deepcopy(arm) | {"name": "filtered", "matrix": by_seed}
    arm["matrix"] = {"selection": RULES, "optimizer.learning_rate": [1e-3, 2e-3, 4e-3], **by_seed}
    data["stages"].insert(data["stages"].index(arm) + 1, filtered)
    data["stages"].insert(3, copy.deepcopy(stage(data, "base")) | {"name": "reference", "init": "base"})
    stage(data, "eval")["evaluations"] = [
        {"checkpoints": ["arm", "filtered", "reference", "base"], "suites": [SUITE, DEV]},
        {"checkpoints": ["arm"], "suites": [SUITE], "trajectory": True, "limit": 10},
    ]
    compare = stage(data, "compare")
    compare["pairs"] = []
    compare["contests"] = [copy.deepcopy(CONTEST)]
    stage(data, "report")["curves"] = []
    edit(data)
    return data


def fewer(data: Json) -> None:
    """Two learning rates, and checkpoints along the training of one rule alone."""
    arm = stage(data, "arm")
    arm["matrix"] = arm["matrix"] | {"optimizer.learning_rate": [1e-3, 2e-3]}
    stage(data, "eval")["evaluations"][1]["checkpoints"] = ["arm-excess-*"]


def contest_recipe(folder: Path, edit: Edit = lambda data: None, seeds: int = 4) -> Recipe:
    """The recipe, loaded from a file in ``folder``."""
    path = folder / "contest_small.yaml"
    path.write_text(yaml.safe_dump(contest_data(edit, seeds), sort_keys=False))
    return load_recipe(str(path))


def arm_of(name: str) -> str:
    """The arm that a stage stands for, by its name."""
    return name.split("-")[1] if name.startswith("arm-") else name.split("-")[0]


def write_run(folder: Path, recipe: Recipe, rows: int = 60, skill: Json | None = None) -> dict[str, Path]:
    """Write what training and evaluation would have left in ``folder``; returns the folders by stage.

    Answers differ by seed, by document (some are easier) and at random; suites have six tasks of ``rows`` documents.
    """
    evaluation = recipe.stage("eval", EvalStage)
    folders = {one.name: folder / one.name for one in recipe.stages}
    for one in recipe.stages_of(TrainStage):
        tokens = one.max_steps * one.batch_size * 16
        selected = tokens * 15 // 16 if one.selection is None else one.max_steps * (one.batch_size * 15 * 6 // 10)
        facts = {"tokens": tokens, "selected_tokens": selected, "max_steps": one.max_steps, "num_parameters": 10_800}
        folders[one.name].mkdir(parents=True, exist_ok=True)
        facts |= {"init": one.init_stage or {}, "cost": _cost(one, recipe, tokens, selected)}
        (folders[one.name] / "training.json").write_text(json.dumps(facts))
    for score in recipe.stages_of(ScoreStage):
        folders[score.name].mkdir(parents=True, exist_ok=True)
        cost = {"flops": _scoring_flops(score, recipe), "seconds": 2.0, "hardware": "cpu"}
        (folders[score.name] / "scores.json").write_text(json.dumps({"cost": cost}))
    for name in evaluation.final_checkpoints:
        generator = np.random.default_rng([*name.encode()])
        chance = (SKILL | (skill or {}))[arm_of(name)]
        ease = np.random.default_rng(99).normal(0.0, 0.15, size=(len(TASKS), rows))
        shift = generator.normal(0.0, 0.02)
        answers = {
            task: (generator.random(rows) < chance + shift + ease[index]).astype(float).tolist()
            for index, task in enumerate(TASKS)
        }
        dev = {task.replace("task", "dev"): values[:20] for task, values in list(answers.items())[:2]}
        suites = {SUITE: TASKS, DEV: list(dev)}
        weights = sha256_bytes(name.encode())
        facts = {
            "stage": name,
            "weights_sha256": weights,
            "num_parameters": 10_800,
            "code_sha256": "c" * 64,
            "engine_settings": {"max_model_len": evaluation.max_model_len, "seed": recipe.seed_of(evaluation)},
        }
        if any(text_of(suite) for item in evaluation.evaluations for suite in item.suites):
            facts |= _write_texts(folders["eval"] / name, chance + shift, generator)
        write_label(folders["eval"], name, answers | dev, suites, **facts)
        if any(item.trajectory and name in item.checkpoints for item in evaluation.evaluations):
            _write_checkpoints(folders["eval"], name, answers, generator)
        rule, setting = arm_of(name), "-".join(name.split("-")[2:4])
        loss = 2.0 - chance + (0.0 if setting == BEST.get(rule) else 0.3) + generator.normal(0.0, 0.01)
        losses = f'{{"step": 10, "validation_loss": 3.0}}\n{{"validation_loss": {loss}}}\n'
        measured = recipe.stage(name, PretrainStage).validation is not None
        (folders[name] / "metrics.jsonl").write_text(losses if measured else "")
    return folders


def _write_texts(folder: Path, chance: float, generator: np.random.Generator) -> Json:
    """Write bits per byte of the corpus ``web`` and of gold answers: the better a model answers, the fewer."""

    def bits(place: int, rows: int = 12) -> list[float]:
        ease = np.random.default_rng([98, place]).normal(0.0, 0.2, size=rows)
        return [round(50.0 * value, 4) for value in 2.0 - chance + ease + generator.normal(0.0, 0.02, size=rows)]

    answers = {task: write_bits(folder, "gold_answers", task, bits(place)) for place, task in enumerate(TASKS)}
    return {"corpora": {"web": write_bits(folder, "corpus", "web", bits(9, NUM_BLOCKS))}, "gold_answers": answers}


def finished_run(folder: Path, edit: Edit) -> Path:
    """The folder of a finished run with a contest, every stage with its manifest."""
    recipe = contest_recipe(folder, edit)
    write_run(folder / "stages", recipe, rows=30)
    (folder / "recipe.yaml").write_text(dump_yaml(recipe.model_dump(mode="json")))
    write_json(folder / "summary.json", {})
    finish(folder, recipe)
    return folder


def finish(folder: Path, recipe: Recipe) -> None:
    """Give every stage of a run the manifest that the runner writes."""
    known: dict[str, Fingerprint] = {}
    for one in recipe.stages:
        place = folder / "stages" / one.name
        place.mkdir(exist_ok=True)
        (place / "done.txt").write_text(one.name)
        inputs = dict(known) if one.spec.reads_all else {name: known[name] for name in stages_read(one)}
        known[one.name] = stage_fingerprint(one, recipe.seed_of(one), inputs)
        Attempt(place, known[one.name]).finish(one.name, one.kind)
    assert {decision.action for _, decision in preview(recipe, folder)} == {"skip"}


def _cost(one: TrainStage, recipe: Recipe, tokens: int, selected: int) -> Json:
    assert isinstance(one, PretrainStage)
    shape = one.shape(recipe)
    assert shape is not None
    flops = flops_of(shape, one.sequence_length(recipe), Work(tokens, selected))
    return {"flops": flops, "seconds": 10.0, "hardware": "cpu"}


def _scoring_flops(score: ScoreStage, recipe: Recipe) -> float:
    corpus = recipe.stage(score.corpus, CorpusStage)
    assert isinstance(score.reference, str)
    shape, blocks, length = (
        recipe.stage(score.reference, TrainStage).shape(recipe),
        corpus.max_blocks,
        corpus.block_size,
    )
    assert shape is not None
    assert blocks is not None
    return flops_of(shape, length, Work(forward_tokens=blocks * length, forward_rows=blocks * (length - 1)))


def _write_checkpoints(
    folder: Path, name: str, answers: dict[str, list[float]], generator: np.random.Generator
) -> None:
    for step in (7, 13):  # as two checkpoints along 20 steps lie
        early = {
            task: (generator.random(10) < np.mean(values)).astype(float).tolist() for task, values in answers.items()
        }
        write_label(folder, f"{name}@{step:06d}", early, {SUITE: TASKS})
