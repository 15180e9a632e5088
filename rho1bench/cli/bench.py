"""``rho1bench bench ...``: our way beside the obvious one, in one run.

Part of ``cli``; everything but typer is imported inside the commands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from rho1bench.cli.console import JsonFile, show

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

bench_app = typer.Typer(help="Measure parts of the suite against a naive version, side by side.", no_args_is_help=True)
Measured = TypeVar("Measured", bound="DataclassInstance")


def _show(result: Measured, report: Callable[[Measured], str], json_file: Path | None) -> None:
    show(asdict(result), json_file, lambda: typer.echo(report(result)))


@bench_app.command("sandbox")
def bench_sandbox(
    outputs: Annotated[list[Path] | None, typer.Argument(help="JSON lines of transcripts; default: made here.")] = None,
    programs: Annotated[int, typer.Option(min=1, help="How many programs both ways run.")] = 60,
    workers: Annotated[int | None, typer.Option(min=1, help="Programs at a time; default: one a core.")] = None,
    soak: Annotated[int | None, typer.Option(min=10, help="Instead run this many in a row and look for leaks.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Programs a second in the sandbox, beside a fresh interpreter that imports sympy for each program."""
    if soak is not None:
        from rho1bench.bench.soak import soak as run_soak
        from rho1bench.bench.soak import soak_table

        samples = list(run_soak(soak))
        show([asdict(one) for one in samples], json_file, lambda: typer.echo(soak_table(samples)))
        return
    from rho1bench.bench.sandbox import report, run

    _show(run(outputs or (), programs, workers), report, json_file)


@bench_app.command("grade")
def bench_grade(
    input: Annotated[
        list[Path] | None, typer.Option(help="A file of saved outputs; may be repeated. Default: see above.")
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="As for `grade`; default: RHO1BENCH_DATA.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes; default: one a core.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Measure the grader against a fresh process pool a file with sympy on every pair, in one run.

    Grades the given files; else the outputs released with the paper, if the data folder holds them; else answers made
    on the spot. Prints seconds, their ratio, and how much 1% of answers that never end slow the others.
    """
    from rho1bench.bench.grade import report, run
    from rho1bench.system.packages import missing_packages

    with missing_packages("`rho1bench bench grade`"):
        _show(run(input or (), data_root, workers), report, json_file)


@bench_app.command("score")
def bench_score(
    rounds: Annotated[int, typer.Option(min=1, help="How often each way scores the blocks.")] = 7,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads for torch.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Tokens a second of scoring, beside a bare forward pass of the same model over the same blocks."""
    from rho1bench.bench.score import report, run

    _show(run(rounds, threads), report, json_file)


@bench_app.command("train")
def bench_train(
    device: Annotated[
        Literal["cuda", "cpu"] | None,
        typer.Option(
            help="Shapes, eager and compiled, as on a GPU; cpu tries that at a tiny size. Default: see above."
        ),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Turns of each way; default: 7 of one step, on a GPU 2 of 4.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="With --device: begin no measurement after this time.")] = 5.0,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Blocks a step on a CPU; default: 4.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of torch; default: one a core.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Tokens a second and peak memory of selective training at 60%, beside naive SLM and plain CLM, in one run.

    Where there is no GPU: one small model, each way in a process of its own. On a GPU (--device cuda, the default
    there): two shapes, eager and compiled, also beside CLM with head and loss compiled, and the head alone.
    """
    from rho1bench.bench import train_matrix

    chosen = device or train_matrix.default_device()
    if chosen is None:
        from rho1bench.bench.train import measure, report

        _show(measure(rounds or 7, batch_size, threads), report, json_file)
        return
    result = train_matrix.run(chosen, minutes, rounds=rounds or 2)
    _show(result, train_matrix.report, json_file)


@bench_app.command("stages")
def bench_stages(
    device: Annotated[
        Literal["cuda", "cpu"] | None,
        typer.Option(help="The 1.1B shape on a GPU, or a tiny one on the CPU; default: cuda where there is a GPU."),
    ] = None,
    steps: Annotated[int, typer.Option(min=2, help="Steps of each training stage.")] = 40,
    output: Annotated[
        Path | None, typer.Option(help="Keep the run in this folder, which must be new or empty; default: keep none.")
    ] = None,
    float8: Annotated[
        Literal["tensorwise", "rowwise"] | None, typer.Option(help="Multiply the layers' maps in float8, scaled so.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Seconds of training stages beside those of their steps, in bf16 and compiled, and their attention kernels.

    Runs a recipe of a reference, its scores, CLM and SLM on random words, then profiles the trained model.
    """
    from rho1bench.bench.stages import report, run
    from rho1bench.system.packages import missing_packages

    with missing_packages("`rho1bench bench stages`"):
        _show(run(device, steps, output, float8), report, json_file)


@bench_app.command("eval")
def bench_eval(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint folder.")],
    task: Annotated[
        str, typer.Option(help="A task with exact_match, by name: rho1_gsm8k_cot for example.")
    ] = "mini_gsm8k",
    engine: Annotated[Literal["hf", "vllm"], typer.Option(help="Both evaluate with it.")] = "hf",
    limit: Annotated[int, typer.Option(min=1, help="Documents.")] = 40,
    batch_size: Annotated[int, typer.Option(min=1, help="Prompts in work at once.")] = 64,
    max_model_len: Annotated[int, typer.Option(min=8, help="Context in tokens.")] = 512,
    data_root: Annotated[Path | None, typer.Option(help="As for `eval`; default: RHO1BENCH_DATA.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Seconds of `rho1bench eval` beside plain lm-eval on the same task, rows and engine, start-up included."""
    from rho1bench.bench.evaluate import EvalWork, report, run

    work = EvalWork(checkpoint, task, engine, limit, batch_size, max_model_len, data_root)
    _show(run(work), report, json_file)
