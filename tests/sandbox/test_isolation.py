"""Which isolation is chosen, what a machine without any is told, and the commands that speak of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rho1bench.errors import DataError, SandboxError
from rho1bench.sandbox import UNSAFE, isolation, isolation_in_force, run_file
from rho1bench.sandbox.fork_server import ForkServer
from rho1bench.sandbox.inside.namespaces import OTHER_SCRATCH, SCRATCH
from rho1bench.sandbox.isolation import Isolation


def printed(server: ForkServer, source: str) -> str:
    try:
        return server.run(source, 10.0, 256).stdout
    finally:
        server.close()


def test_the_strongest_isolation_comes_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert isolation.possible_isolation() == ["bubblewrap", "namespaces"]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert isolation.possible_isolation() == ["namespaces", "bubblewrap"]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert isolation.possible_isolation() == ["namespaces"]
    monkeypatch.setenv(UNSAFE, "1")
    assert isolation.possible_isolation() == ["namespaces", "none"]


def test_without_isolation_programs_are_refused_unless_allowed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    whole = isolation.command
    broken = [sys.executable, "-c", "raise OSError('no namespaces today')"]
    monkeypatch.setattr(
        "rho1bench.sandbox.launching.command",
        lambda kind, settings: whole(kind, settings) if kind == "none" else broken,
    )
    with pytest.raises(SandboxError, match=r"no namespaces today.*--unsafe-code-execution"):
        isolation_in_force()
    monkeypatch.setenv(UNSAFE, "1")
    assert isolation_in_force().isolation == "none"


def test_without_isolation_a_program_still_has_a_scratch_folder_that_goes():
    where = printed(ForkServer((), isolation="none"), "import os; print(os.getcwd(), os.listdir('.'))").split()
    assert where[1] == "['program.py']"
    assert not Path(where[0]).exists()


def hides_the_host(kind: Isolation) -> None:
    """A program is another user, the second process, and alone in its scratch folder; a host's /tmp is not there."""
    source = "import os; print(os.getuid(), os.getpid(), os.getcwd(), os.listdir('.'), *os.listdir('/tmp'))"
    with tempfile.NamedTemporaryFile(prefix="of-the-host-", dir=SCRATCH):
        uid, pid, place, files, *others = printed(ForkServer((), isolation=kind), source).split()
    assert (uid, pid, files) == ("1000", "2", "['program.py']")
    # Packages that lie in /tmp must stay readable there, so the scratch folder is then another one.
    assert place == (SCRATCH if others == ["program.py"] else OTHER_SCRATCH)
    assert not any(name.startswith("of-the-host-") for name in others)


def test_namespaces_hide_the_host():
    hides_the_host("namespaces")


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_bubblewrap_hides_the_host():
    hides_the_host("bubblewrap")


@pytest.mark.parametrize("kind", ["namespaces", "bubblewrap"])
def test_packages_in_the_scratch_folders_place_stay_importable(kind, monkeypatch: pytest.MonkeyPatch):
    if kind == "bubblewrap" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        packages = Path(folder, "site-packages")
        packages.mkdir()
        (packages / "imported_late.py").write_text("word = 'there'")
        monkeypatch.syspath_prepend(str(packages))
        source = "import os, imported_late; open('mine', 'w').close(); print(imported_late.word, sorted(os.listdir()))"
        assert printed(ForkServer((), isolation=kind), source) == "there ['mine', 'program.py']\n"


def test_shown_paths_are_the_interpreters_and_none_twice():
    shown = isolation.shown_paths()
    assert any(sys.base_prefix == path or sys.base_prefix.startswith(f"{path}/") for path in shown)
    assert str(Path.home()) not in shown
    assert not [path for path in shown for other in shown if path.startswith(f"{other}/")]


def test_the_command_prints_one_json_object(tmp_path: Path):
    (tmp_path / "p.py").write_text("print('hi')\nraise ValueError('bad')")
    command = [sys.executable, "-m", "rho1bench", "sandbox", "run", str(tmp_path / "p.py"), "--timeout", "9"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert result.pop("seconds") < 9
    assert result == {"outcome": "error", "stdout": "hi\n", "error": "ValueError: bad"}


def test_the_option_reaches_the_processes_that_a_command_starts():
    script = (
        "import os\nfrom typer.testing import CliRunner\nfrom rho1bench.cli.app import app\n"
        f"CliRunner().invoke(app, ['--unsafe-code-execution', 'recipes'])\nprint(os.environ['{UNSAFE}'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"none\.py: cannot be read"):
        run_file(tmp_path / "none.py")
