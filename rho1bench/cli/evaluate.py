"""``rho1bench eval`` and ``convert``: checkpoints on the paper's tasks, and GGUF files as checkpoints."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rho1bench.cli.console import JsonFile, console, show, suite_names


class Precision(StrEnum):
    """Precision of weights and products."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class EvalEngine(StrEnum):
    """Inference engines of ``rho1bench eval``."""

    auto = "auto"
    vllm = "vllm"
    hf = "hf"
    openai = "openai"


Checkpoints = Annotated[
    list[str],
    typer.Argument(metavar="CHECKPOINT", help="Folders, or hub ids such as OWNER/NAME@REVISION; LoRA adapters, too."),
]
Suites = Annotated[
    list[str] | None,
    typer.Option(
        help="math (default), tir, general, all, any suite, group or task by name; gold_answers:SUITE or "
        "corpus:FOLDER for bits per byte; may be repeated.",
        autocompletion=suite_names,
    ),
]
TaskNames = Annotated[
    str | None, typer.Option(metavar="A,B,...", help="Single tasks, beside or instead of suites; lm-eval's own, too.")
]
TaskFolder = Annotated[Path | None, typer.Option(metavar="DIR", help="A folder of lm-eval task YAMLs to choose from.")]
Chat = Annotated[bool, typer.Option("--chat-template", help="Prompts are chats in the checkpoint's own template.")]
BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Prompts in work at once; default: 256, with vllm on a GPU what its memory holds, with openai 64.",
    ),
]
Base = Annotated[
    str | None, typer.Option(metavar="MODEL", help="Model under an adapter; default: the one that it names.")
]


def evaluate(
    checkpoints: Checkpoints,
    suite: Suites = None,
    tasks: TaskNames = None,
    include_path: TaskFolder = None,
    num_fewshot: Annotated[int | None, typer.Option(min=0, help="Exemplars; default: as the task says.")] = None,
    chat_template: Chat = False,
    samples: Annotated[int, typer.Option(min=1, metavar="K", help="Answers to each prompt: avg@K and maj@K.")] = 1,
    temperature: Annotated[float | None, typer.Option(min=0.0, help="Above 0: answers are sampled.")] = None,
    top_p: Annotated[float | None, typer.Option(min=0.01, max=1.0, help="Nucleus of the sampling.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Of an answer; default: as the task says.")] = None,
    dtype: Annotated[Precision | None, typer.Option(help="Default: float32 on a CPU and with hf.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Documents a task at most; for trials.")] = None,
    engine: Annotated[EvalEngine, typer.Option(help="auto is vllm where it is installed.")] = EvalEngine.auto,
    base_url: Annotated[str | None, typer.Option(help="Server of the openai engine, http://HOST:PORT/v1.")] = None,
    model: Annotated[str | None, typer.Option(help="The server's name for the model, if it is another one.")] = None,
    tensor_parallel_size: Annotated[int, typer.Option(min=1, help="GPUs that share a model (vllm).")] = 1,
    data_parallel_size: Annotated[int, typer.Option(min=1, help="Copies of the model side by side (vllm).")] = 1,
    max_model_len: Annotated[int, typer.Option(min=8, help="Context in tokens; the model's own if shorter.")] = 4096,
    batch_size: BatchSize = None,
    data_root: Annotated[Path | None, typer.Option(help="Local copy of the test data; default: downloaded.")] = None,
    base: Base = None,
    output: Annotated[Path, typer.Option(help="Holds one folder for each checkpoint.")] = Path("evals"),
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads for torch.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Evaluate checkpoints on the paper's tasks. The same command again continues or is done."""
    from rich.console import Console

    from rho1bench.evaluation.command import EvalOptions, print_evaluations
    from rho1bench.evaluation.command import evaluate as evaluate_checkpoints
    from rho1bench.evaluation.harness.task_options import TaskOptions
    from rho1bench.system.files import read_json

    options = EvalOptions(
        checkpoints=checkpoints,
        output=output,
        base=base,
        suites=suite or [],
        tasks=[] if tasks is None else _names(tasks),
        limit=limit,
        engine=engine.value,
        base_url=base_url,
        served_model=model,
        tensor_parallel_size=tensor_parallel_size,
        data_parallel_size=data_parallel_size,
        max_model_len=max_model_len,
        batch_size=batch_size,
        data_root=data_root,
        dtype=dtype.value if dtype is not None else None,
        task_options=TaskOptions(include_path, num_fewshot, chat_template, samples, temperature, top_p, max_new_tokens),
        num_threads=threads,
    )
    paths = evaluate_checkpoints(options, Console(stderr=True))
    show([read_json(path) for path in paths], json_file, lambda: print_evaluations(paths, options, console()))


def _names(tasks: str) -> list[str]:
    """Return the names of ``--tasks``; an empty one, as of a shell's unset variable, is not the default suite."""
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    if not names:
        raise typer.BadParameter("names no task; leave it out for the math suite", param_hint="--tasks")
    return names


def convert(
    gguf: Annotated[Path, typer.Argument(help="A GGUF file of a model that transformers knows.")],
    output: Annotated[Path, typer.Option(help="The checkpoint folder to write.")],
) -> None:
    """Turn a GGUF file into a checkpoint folder (config, float32 safetensors, tokenizer)."""
    from rho1bench.modeling.gguf import convert_gguf

    convert_gguf(gguf, output)
    typer.echo(f"wrote {output}, a checkpoint folder")
