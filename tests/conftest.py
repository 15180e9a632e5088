"""For every test: offline, one thread, reproducible Hypothesis; the reference data where it is at hand.

The whole suite runs in three processes for two cores, the whole sweep in two, a part of them in one (``-n`` decides
otherwise); what one process shall run is a group. And what the tests of several rooms use: the small recipe, and the
runner with fake stages.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import fake_stages
import pytest
import yaml
from forking import ForkingProcess
from hypothesis import HealthCheck, settings
from small_recipe import SMALL

from rho1bench.pipeline import runner
from rho1bench.recipe.loading.json_schema import stage_models

Edit = Callable[[dict], object]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

if worker := os.environ.get("PYTEST_XDIST_WORKER"):  # some tests count what lies in the folder for temporary files
    os.environ["TMPDIR"] = tempfile.tempdir = f"{tempfile.gettempdir()}/pytest-{os.getuid()}-{worker}"
    os.makedirs(tempfile.tempdir, exist_ok=True)

gc.set_threshold(50_000)  # what tests leave in cycles is small

MOST_WORKERS = 4
"""Each takes 2 GB and more."""
TOGETHER = {
    "training": "training",
    "test_scoring.py": "training",
    "test_server_scoring.py": "training",
    "sandbox": "sandbox",
}
"""Folders and files whose tests one process runs: they share a fixture, or watch over the processes of the machine."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    whole = [Path(argument).resolve() for argument in config.args] == [Path(__file__).parent]
    if not whole or config.option.collectonly or config.option.markexpr not in ("sweep", "not sweep"):
        return 0
    cores = len(os.sched_getaffinity(0))
    if config.option.markexpr == "sweep":
        return min(cores, MOST_WORKERS)
    return min(cores + cores // 2, MOST_WORKERS)  # a quarter of the time a test waits for what it has started


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Have the tests of a file or a group stay in one process: what their module makes is made once."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Together(config, log)


def group_of(nodeid: str) -> str:
    """The group of a test, by its file and folder; all that start a real vLLM share one."""
    path = Path(nodeid.partition("::")[0])
    if path.name in files_with_vllm():
        return "vllm"
    return TOGETHER.get(path.name) or TOGETHER.get(path.parent.name) or str(path)


@cache
def files_with_vllm() -> frozenset[str]:
    files = Path(__file__).parent.rglob("test_*.py")
    return frozenset(path.name for path in files if "@pytest.mark.vllm" in path.read_text(encoding="utf-8"))


settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("suite")


@pytest.fixture(scope="module", autouse=True)
def collectors_rest() -> None:
    """Spare the garbage collector what earlier modules made and imported: every training ends with a full collection,
    which would take longer than a small training itself."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A Chromium that opens files."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (dev extra)")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium)")
    sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page as a file; nothing may go wrong on it, and nothing but its own folder's files be asked for."""
    troubles: list[str] = []
    contexts = []

    def open_page(path: Path, choices: str = "", *, width: int = 1280, scheme: str = "light") -> Any:
        contexts.append(browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        own = (path.parent.as_uri(), "data:")
        page.on("request", lambda request: request.url.startswith(own) or troubles.append(request.url))
        page.goto(path.as_uri() + choices)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


@pytest.fixture(scope="session")
def shared_data_if_there() -> Path | None:
    """The folder of reference data (RHO1BENCH_SHARED, else beside the checkout); it is no part of the repository."""
    folder = Path(os.environ.get("RHO1BENCH_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    return folder if (folder / "reference" / "paper_verdicts.jsonl").is_file() else None


@pytest.fixture(scope="session")
def shared_data(shared_data_if_there: Path | None) -> Path:
    """The same folder for a test that needs it; the test is skipped where there is none."""
    if shared_data_if_there is None:
        pytest.skip("the reference data (../shared or RHO1BENCH_SHARED) is not on this machine")
    return shared_data_if_there


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkingProcess]:
    """The process whose forks die for the tests."""
    process = ForkingProcess()
    yield process
    process.close()


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """The runner with fake stages; returns the names of the stages called since the last look."""
    path = tmp_path / "calls.txt"
    monkeypatch.setenv("FAKE_CALLS", str(path))
    for model in stage_models().values():
        monkeypatch.setattr(model, "spec", model.spec)
    monkeypatch.setattr(runner, "SUMMARISE_SEEDS", runner.SUMMARISE_SEEDS)
    fake_stages.install()

    def look() -> list[str]:
        names = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return names

    return look


@pytest.fixture
def recipe_file(tmp_path):
    """Write the small recipe, changed by a function, and return its path."""

    def write(edit: Edit = lambda data: None, name: str = "recipe.yaml") -> Path:
        data = yaml.safe_load(SMALL.read_text())
        edit(data)
        path = tmp_path / name
        path.write_text(yaml.safe_dump(data, sort_keys=False))
        return path

    return write
