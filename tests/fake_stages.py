"""Stages that do next to nothing, but resume like real ones; run as a script, the command line with these stages.

Every call is noted in ``$FAKE_CALLS``. ``$FAKE_SLEEP`` seconds pass at each step, ``$FAKE_MEGABYTES`` are written by
each training stage, ``$FAKE_RAISE`` (``stage:what``) makes one stage fail.
"""

from __future__ import annotations

import errno
import os
import time
from dataclasses import replace
from pathlib import Path

from rho1bench.errors import TrainingError
from rho1bench.pipeline import runner
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import TrainStage
from rho1bench.recipe.loading.json_schema import stage_models
from rho1bench.system.files import append_jsonl, read_jsonl, write_json


def install() -> None:
    """Let every kind of stage be carried out by a fake one."""
    for kind, model in stage_models().items():
        function = {"pretrain": "train", "report": "report"}.get(kind, "plain")
        model.spec = replace(model.spec, entry=f"fake_stages:{function}", packages=(), shipped=())
    runner.SUMMARISE_SEEDS = "fake_stages:summarise"


def plain(context: StageContext) -> None:
    _note(context)
    write_json(context.folder / "result.json", {"stage": context.stage.name, "seed": context.seed})


def train(context: StageContext) -> None:
    """Append a line a step, going on after the last one that is there."""
    _note(context)
    stage = context.config(TrainStage)
    log = context.folder / "metrics.jsonl"
    done = len(read_jsonl(log)) if log.exists() else 0
    for step in range(done, stage.max_steps):
        append_jsonl(log, {"step": step, "loss": 1 / (step + 1 + context.seed)})
        time.sleep(float(os.environ.get("FAKE_SLEEP", "0")))
    (context.folder / "weights.bin").write_bytes(b"w" * int(1e6 * float(os.environ.get("FAKE_MEGABYTES", "0"))))


def report(context: StageContext) -> None:
    _note(context)
    trained = [name for name in ("clm", "slm") if name in context.inputs]
    losses = {name: read_jsonl(context.input(name) / "metrics.jsonl") for name in trained}
    write_json(context.folder / "publish" / "summary.json", {"seed": context.seed, "losses": losses, "stages": {}})
    (context.folder / "publish" / "report.md").write_text("report\n")
    (context.folder / "publish" / "figures").mkdir(exist_ok=True)
    (context.folder / "publish" / "figures" / "curve.svg").write_text("<svg/>\n")


def summarise(output: Path, seeds: list[int], tuning_seeds: list[int]) -> None:
    write_json(output / "summary.json", {"seeds": seeds, "tuning_seeds": tuning_seeds})


def _note(context: StageContext) -> None:
    with Path(os.environ["FAKE_CALLS"]).open("a") as handle:
        handle.write(f"{context.stage.name}\n")
    stage, _, what = os.environ.get("FAKE_RAISE", "").partition(":")
    if stage != context.stage.name:
        return
    (context.folder / "half.txt").write_text("half")
    if what == "full":
        raise RuntimeError("writer failed") from OSError(errno.ENOSPC, "No space left on device", "weights")
    if what == "words":
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    if what == "array":
        raise OSError("1908000 requested and 1542080 written")
    if what == "user":
        raise TrainingError("the loss of stage base is nan at step 7")
    if what == "module":
        raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
    if what == "foreign":
        raise PermissionError(errno.EACCES, "Permission denied", "/elsewhere/data.jsonl")
    raise ZeroDivisionError(what)


if __name__ == "__main__":
    install()
    from rho1bench.cli import app, run

    run.print_result = lambda result, console: console.print("finished")
    app.main()
