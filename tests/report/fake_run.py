"""Writes the stage folders of a plausible finished run, so that the report can be seen and tested without training.

``python tests/report/fake_run.py FOLDER`` writes one and its report, to look at.
"""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from eval_folders import write_label

from rho1bench.comparison import stage as comparison_stage
from rho1bench.pipeline.manifest import Manifest
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import Recipe
from rho1bench.report import stage as report_stage
from rho1bench.system.files import write_json, write_jsonl
from rho1bench.system.progress import SilentProgress

MATH9 = [
    f"mini_{task}" for task in ("gsm8k", "math500", "svamp", "asdiv", "mawps", "tabmwp", "mathqa", "mmlu_stem", "sat")
]
TIR7 = [f"mini_{task}_tir" for task in ("gsm8k", "math500", "svamp", "asdiv", "mawps", "tabmwp", "gsm_hard")]
GENERAL13 = [
    *(f"mini_{task}" for task in ("mmlu", "bbh", "agieval", "arc_easy", "arc_challenge", "boolq", "piqa", "hellaswag")),
    *(f"mini_{task}" for task in ("winogrande", "openbookqa", "humaneval", "mbpp", "tydiqa")),
]
SUITES = {"mini_math9": MATH9, "mini_tir7": TIR7, "mini_general15": [*GENERAL13, "mini_gsm8k", "mini_math500"]}
STEPS, TOKENS_A_STEP, CHECKPOINTS = 200, 48 * 128, (40, 80, 120, 160)
FLOPS_A_TOKEN, SCORING_FLOPS = 6e6, 1.2e12
NOISE = (
    ("Views: 99 Likes: 0 Shares: 7 Score: 07\n", "counters"),
    ("http://localhost/yogurt/YbOwbE2G4?id=9087171\n", "url"),
    ("@printer_saddle5182 sam hates the modern wallet, same here\n", "chatter"),
    ("#0128914 by cheap_battery5761 on Feb 24 2020, 05:10\n", "byline"),
)
PROBLEM = (
    ("Question: Leo has 7 pens. Ida gives him 3 more. How many pens has Leo?\nAnswer: ", "math"),
    ("7+3=", "math"),
    ("10. The answer is 10.\n\n\n", "math"),
)


def recipe(name: str = "quickstart", treatment: str = "slm") -> Recipe:
    """The quickstart's shape, small."""
    optimizer = {"learning_rate": 2e-3}
    train = {"kind": "pretrain", "corpus": "web", "optimizer": optimizer, "batch_size": 48, "max_steps": STEPS}
    ranking = {"score": "excess_loss", "ratio": 0.6, "token_scores": "scores"}
    shape = {"hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 4, "num_attention_heads": 4}
    source = {"type": "mini_world", "text": "web", "num_documents": 100}
    sft = {"kind": "sft", "tokenizer": "tokenizer", "sources": [source], "max_length": 128, "batch_size": 48}
    evaluated = ["base", "clm", treatment, "clm-sft", f"{treatment}-sft"]
    stages: list[dict[str, Any]] = [
        {"name": "tokenizer", "kind": "tokenizer", "vocab_size": 512, "sources": [source]},
        {"name": "web", "kind": "corpus", "tokenizer": "tokenizer", "sources": [source], "block_size": 128},
        {**train, "name": "base", "init": {**shape, "max_position_embeddings": 512}, "max_steps": 60},
        {**train, "name": "reference", "init": "base", "max_steps": 150},
        {"name": "scores", "kind": "score", "reference": "reference", "corpus": "web"},
        {**train, "name": "clm", "init": "base", "validation": "web", "monitor": ranking},
        {**train, "name": treatment, "init": "base", "validation": "web", "selection": ranking},
        {**sft, "name": "clm-sft", "init": "clm", "optimizer": optimizer, "max_steps": 40},
        {**sft, "name": f"{treatment}-sft", "init": treatment, "optimizer": optimizer, "max_steps": 40},
        {"name": "eval", "kind": "eval", "evaluations": [{"checkpoints": evaluated, "suites": ["mini_math9"]}]},
        {
            "name": "compare",
            "kind": "compare",
            "evaluation": "eval",
            "num_resamples": 500,
            "pairs": [
                {"treatment": treatment, "baseline": "clm"},
                {"treatment": f"{treatment}-sft", "baseline": "clm-sft"},
            ],
        },
        {
            "name": "report",
            "kind": "report",
            "comparison": "compare",
            "evaluation": "eval",
            "curves": [treatment, "clm"],
        },
    ]
    return Recipe.model_validate({"name": name, "description": "The whole pipeline in miniature", "stages": stages})


def skill(stage: str, step: int) -> float:
    """Chance of a right answer."""
    part = 1.0 - np.exp(-step / 90)
    rise = {"clm": 0.36, "base": 0.0}.get(stage.removesuffix("-sft"), 0.52)
    return float(0.12 + rise * part + (0.06 if stage.endswith("-sft") else 0.0))


def draw_scores(stage: str, step: int, tasks: list[str], num: int) -> dict[str, list[float]]:
    """Documents keep their difficulty over checkpoints, so that paired answers agree as real ones do."""
    scores = {}
    for task in tasks:
        hardness = np.random.default_rng(list(task.encode())).random(120)
        luck = np.random.default_rng(list(f"{stage}{step}{task}".encode())).normal(0, 0.08, 120)
        right = np.clip((skill(stage, step) - hardness + luck) * 8 + 0.5, 0, 1) if "tydiqa" in task else None
        scores[task] = (right if right is not None else (hardness + luck < skill(stage, step)).astype(float))[
            :num
        ].tolist()
    return scores


def write_evaluations(folder: Path, treatment: str) -> None:
    two, three = ("mini_math9", "mini_general15"), ("mini_math9", "mini_tir7", "mini_general15")
    for stage, suites in {"base": two, "clm": two, treatment: two, "clm-sft": three, f"{treatment}-sft": three}.items():
        tasks = list(dict.fromkeys(task for suite in suites for task in SUITES[suite]))
        scores = draw_scores(stage, 0 if stage == "base" else STEPS, tasks, 120)
        write_label(folder, stage, scores, {suite: SUITES[suite] for suite in suites}, step=STEPS)
    for stage in ("clm", treatment):
        for step in CHECKPOINTS:
            scores = draw_scores(stage, step, MATH9, 40)
            tokens = {"tokens": step * TOKENS_A_STEP, "selected_tokens": step * TOKENS_A_STEP * 6 // 10}
            write_label(folder, f"{stage}@{step:06d}", scores, {"mini_math9": MATH9}, **tokens)


def write_training(folder: Path, init: str | None, steps: int, ratio: float | None, num: int) -> None:
    """training.json and metrics.jsonl of a stage that ends the better the larger ``num``."""
    tokens = steps * TOKENS_A_STEP
    row = {
        "num_parameters": 892_032,
        "tokens": tokens,
        "selected_tokens": round(tokens * (ratio or 1.0)),
        "max_steps": steps,
        "init": init,
        "select_ratio": ratio,
        "cost": {"flops": FLOPS_A_TOKEN * tokens, "seconds": 0.35 * steps, "hardware": "cpu, x86_64, 2 cores"},
    }
    write_json(folder / "training.json", row)
    generator = np.random.default_rng(num)
    rows: list[dict[str, Any]] = []
    for step in range(10, steps + 1, 10):
        part, wobble = np.exp(-step / 70), generator.normal(0, 0.03)
        rows.append(
            {
                "step": step,
                "max_steps": steps,
                "tokens": step * TOKENS_A_STEP,
                "loss_all": 2.6 + 1.2 * part + wobble,
                "loss_selected": 1.5 - 0.1 * num + 1.6 * part + wobble if ratio != 1.0 else None,
                "loss_unselected": 4.0 + 0.12 * num + 0.8 * part + wobble if ratio != 1.0 else None,
            }
        )
        if step % 20 == 0:
            loss = 0.95 - 0.06 * num + 1.1 * part
            rows.append({"step": step, "tokens": step * TOKENS_A_STEP, "validation_loss": loss})
    write_jsonl(folder / "metrics.jsonl", rows)


def probe_rows() -> list[dict[str, Any]]:
    """Eight blocks at three moments; the share of noise that is selected falls."""
    rows = []
    for moment, step in enumerate((0, STEPS // 2, STEPS)):
        for block in range(8):
            generator = np.random.default_rng(block)
            spans = [
                ("<s>", "math"),
                *(NOISE[(block + i) % 4] for i in range(2)),
                *PROBLEM,
                NOISE[(block + 3) % 4],
                *PROBLEM,
            ]
            tokens = [(piece, kind) for text, kind in spans for piece in re.findall(r"<s>| ?[^\W\d]+|\d|\s+|.", text)]
            luck = generator.random(len(tokens))
            chance = [0.72 if kind == "math" else 0.55 - 0.15 * moment for _, kind in tokens]
            selected = [int(value < limit) for value, limit in zip(luck, chance, strict=True)]
            losses = [None, *(round(float(4 * value), 4) for value in luck[1:])]
            rows.append(
                {
                    "step": step,
                    "block": block * 100,
                    "pieces": [piece for piece, _ in tokens],
                    "selected": [0, *selected[1:]],
                    "loss": losses,
                    "reference_loss": [None, *(round(float(value), 4) for value in luck[1:])],
                    "kinds": [kind for _, kind in tokens],
                }
            )
    return rows


def write_run(folder: Path, run_recipe: Recipe | None = None, treatment: str = "slm") -> StageContext:
    """Write every stage's folder but the report's; return the context to call the report stage with."""
    run_recipe = run_recipe or recipe(treatment=treatment)
    inputs = {stage.name: folder / "stages" / stage.name for stage in run_recipe.stages if stage.kind != "report"}
    ends = {"base": (None, 60, None, 0), "reference": ("base", 150, None, 3), "clm": ("base", STEPS, None, 0)}
    ends |= {treatment: ("base", STEPS, 0.6, 1)}
    ends |= {f"{name}-sft": (name, 40, None, 1) for name in ("clm", treatment)}
    for name, (init, steps, ratio, num) in ends.items():
        write_training(inputs[name], init, steps, ratio, num)
    scoring = {"flops": SCORING_FLOPS, "seconds": 12.5, "hardware": "cpu, x86_64, 2 cores"}
    write_json(inputs["scores"] / "scores.json", {"reference": "stage reference", "cost": scoring})
    write_jsonl(inputs[treatment] / "selected_tokens.jsonl", probe_rows())
    write_evaluations(inputs["eval"], treatment)
    for index, (name, path) in enumerate(inputs.items()):
        kind = run_recipe.stage(name).kind
        manifest = Manifest("f" * 64, stage=name, kind=kind, seconds=2.5 + 9.7 * index)
        write_json(path / "manifest.json", asdict(manifest))
    compare = run_recipe.stage("compare")
    comparison_stage.run(StageContext(run_recipe, compare, inputs["compare"], inputs, 0, SilentProgress()))
    own = folder / "stages" / "report"
    own.mkdir(parents=True, exist_ok=True)
    return StageContext(run_recipe, run_recipe.stage("report"), own, inputs, 0, SilentProgress())


if __name__ == "__main__":
    report_stage.run(write_run(Path(sys.argv[1])))
