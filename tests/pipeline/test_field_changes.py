"""Changes of fields, one after the other in one run folder: the right stages run, and nothing is lost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rich.console import Console
from small_recipe import stage

from rho1bench.pipeline.runner import run_recipe
from rho1bench.pipeline.set_aside import old_stages
from rho1bench.recipe.loading.load import load_recipe

SFT = {
    "name": "sft", "kind": "sft", "init": "slm", "tokenizer": "tokenizer", "batch_size": 4, "max_steps": 3,
    "max_length": 64, "optimizer": {"learning_rate": 1e-3},
    "sources": [{"type": "mini_world", "text": "sft_cot", "num_documents": 10}],
}  # fmt: skip
END = ["eval", "compare", "report"]
SLM, CLM = ["slm", "sft", *END], ["clm", *END]
TRAINED = ["clm", *SLM]
ALL = ["tokenizer", "web", "base", "scores", *TRAINED]
CHANGES: list[tuple[str, list[str]]] = [
    ("stages.clm.logging_steps=7", []),
    ("stages.slm.save_steps=9", []),
    ("stages.base.loggers=[tensorboard]", []),
    ("stages.slm.micro_batch_size=2", []),
    ("stages.clm.num_threads=1", []),
    ("stages.web.num_workers=2", []),
    ("stages.scores.batch_size=8", []),
    ("stages.eval.batch_size=16", []),
    ("stages.clm.gradient_checkpointing=true", []),
    ("stages.slm.fused=true", []),
    ("stages.sft.micro_batch_size=1", []),
    ("stages.sft.logging_steps=3", []),
    ("description=other", []),
    ("stages.report.curves=[slm]", ["report"]),
    ("stages.compare.num_resamples=3", ["compare", "report"]),
    ("stages.eval.engine=hf", END),
    ("stages.sft.max_steps=4", ["sft", "report"]),
    ("stages.sft.optimizer.weight_decay=0.0", ["sft", "report"]),
    ("stages.slm.selection.ratio=0.5", SLM),
    ("stages.clm.optimizer.learning_rate=2e-3", CLM),
    ("stages.clm.precision=bf16", CLM),
    ("stages.clm.validation_steps=7", CLM),
    ("stages.clm.seed=9", CLM),
    ("stages.slm.selection.scope=micro_batch", SLM),
    ("stages.slm.micro_batch_size=4", SLM),  # what is ranked among, now
    ("stages.scores.precision=bf16", ["scores", *SLM]),
    ("stages.base.max_steps=5", ["base", "scores", *TRAINED]),
    ("stages.web.max_line_bytes=9999", ALL[1:]),
    ("stages.tokenizer.vocab_size=600", ALL),
    ("seed=4", ALL),
    ("jobs=2", []),
]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_changed_fields_run_what_depends_on_them_and_lose_nothing(tmp_path, calls, recipe_file):
    def in_small(data: dict) -> None:
        data["stages"].insert([one["name"] for one in data["stages"]].index("eval"), dict(SFT))
        for name in ("base", "clm", "slm"):
            stage(data, name)["max_steps"] = 4

    path, run, overrides = recipe_file(in_small), tmp_path / "run", []

    def go() -> list[str]:
        run_recipe(load_recipe(str(path), overrides), run, console=Console(quiet=True))
        return calls()

    assert go() == ALL
    made: Counter[str] = Counter()
    for change, expected in CHANGES:
        overrides.append(change)
        before = {name: contents(run / "stages" / name) for name in expected}
        assert go() == expected, change
        made.update(expected)
        kept = {name: contents(run / "stages" / f"{name}.old-{made[name]}") for name in expected}
        assert kept == before, change
        assert Counter(old.stage for old in old_stages(run)) == made, change
    assert len(CHANGES) > 30
    assert all(old.state == "finished" for old in old_stages(run))
