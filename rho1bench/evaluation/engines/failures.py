"""Whatever an engine fails with becomes one message: what failed, the log that holds the traceback, and a way out."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rho1bench.errors import EngineError, UserError

_LOG_TAIL = 20_000
"""Bytes at the end of the log in which the causes of failures in other processes are sought."""

_WAYS_OUT = (
    (r"flashinfer", "Set VLLM_USE_FLASHINFER_SAMPLER=0 in the environment and try again, or use --engine hf."),
    (r"head.?(size|dim)", "This engine cannot serve the model's attention heads; use --engine hf."),
    (r"out of memory|OutOfMemory|MemoryError|KV cache", "Lower --batch-size or --max-model-len, or use a larger GPU."),
    (r"No module named '([\w-]+)", r"Install the package: pip install \1"),
    (
        r"not supported|unsupported|does not recognize|no attribute|Unrecognized",
        "Use another engine (--engine hf, for example), or another version of this one.",
    ),
)
_REFUSED_SETTING = re.compile(r"\d+ validation errors? for[\s\S]*?Value error, (.*?)(?: \[type=|$)", re.MULTILINE)
"""How pydantic, which checks vLLM's settings, wraps the words of a check."""
_NEXT = {"vllm": "Try --engine hf.", "hf": "See whether AutoModelForCausalLM.from_pretrained loads the folder."}


@contextmanager
def one_message(engine: str, action: str, log: Path) -> Iterator[None]:
    """Turn any exception but a UserError into an EngineError with the engine's log and a way out.

    Args:
        engine: name of the engine.
        action: what it was doing, "load FOLDER" for example.
        log: file that takes the traceback.
    """
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        _append(log, "".join(traceback.format_exception(error)))
        raise EngineError(
            f"{engine} cannot {action}: {_first_line(error)}\nIts log is {log}. {_way_out(engine, error, log)}"
        ) from error


def _append(log: Path, text: str) -> None:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8", errors="backslashreplace") as handle:
            handle.write(text)
    except OSError:
        return  # the engine's failure matters more; a full disk is reported by whatever writes next


def _first_line(error: BaseException) -> str:
    """Return the first line of the error, or of its cause where it only points there."""
    if match := _REFUSED_SETTING.search(str(error)):
        return match[1]
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if error.__cause__ is not None and (not text or "root cause" in text):
        return _first_line(error.__cause__)
    return text if text and not isinstance(error, KeyError) else f"{type(error).__name__} {text}".strip()


def _way_out(engine: str, error: BaseException, log: Path) -> str:
    """Return the advice that fits the error, its causes, or the errors that other processes left in the log."""
    texts = [*_chain(error), *_logged_errors(log)]
    for text in texts:
        for pattern, advice in _WAYS_OUT:
            if match := re.search(pattern, text, re.IGNORECASE):
                return match.expand(advice)
    return _NEXT.get(engine, "Use another engine with --engine.")


def _chain(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield f"{type(error).__name__}: {error}"
        error = error.__cause__ or error.__context__


def _logged_errors(log: Path) -> list[str]:
    try:
        tail = log.read_bytes()[-_LOG_TAIL:].decode("utf-8", "replace")
    except OSError:
        return []
    return [line for line in reversed(tail.splitlines()) if re.search(r"\b\w*(Error|Exception)\b", line)]
