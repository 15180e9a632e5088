"""How programs can be isolated on this machine, and the command that starts the fork server that way.

The strongest first: bubblewrap, then Linux namespaces by this package itself, and none only for a user who allowed it.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Literal

from rho1bench.errors import SandboxError
from rho1bench.sandbox.inside.namespaces import OTHER_SCRATCH, SCRATCH

Isolation = Literal["bubblewrap", "namespaces", "none"]

UNSAFE = "RHO1BENCH_UNSAFE_CODE_EXECUTION"
"""Set to 1 (``rho1bench --unsafe-code-execution``), programs run without isolation where none works."""
INSIDE = Path(__file__).with_name("inside")
SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/localtime",
)
SHOWN_INSIDE = Path("/opt/rho1bench/sandbox/inside")
"""Where bubblewrap shows the scripts; the folders above them are no regular packages there, and need not be."""


def possible_isolation() -> list[Isolation]:
    """Return the kinds of isolation to try, in order; never empty.

    For root, bubblewrap comes second: it hides parts of /proc then, and programs could not be given a /proc of their
    own, by which they are kept from making user namespaces and the memory of all their processes is added up.
    """
    found: list[Isolation] = ["namespaces"]
    if shutil.which("bwrap"):
        found.insert(1 if os.geteuid() == 0 else 0, "bubblewrap")
    if os.environ.get(UNSAFE) == "1":
        found.append("none")
    return found


def package_folders() -> list[str]:
    """Return the folders of installed packages on this process's path."""
    return [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]


def shown_paths() -> list[str]:
    """Return what programs may read of the host: system libraries, the interpreter, installed packages."""
    shown: list[str] = []
    for path in (*SYSTEM, sys.base_prefix, sys.prefix, *package_folders()):
        within = any(path == other or path.startswith(f"{other}/") for other in shown)
        if os.path.lexists(path) and path != "/" and not within:
            shown.append(path)
    return shown


def command(isolation: Isolation, settings: str) -> list[str]:
    """Return the command that starts the fork server with ``settings``."""
    if isolation != "bubblewrap":
        return [sys.executable, "-s", "-P", str(INSIDE / "server_main.py"), settings]
    return [*_bubblewrap(), sys.executable, "-s", "-P", str(SHOWN_INSIDE / "server_main.py"), settings]


def _bubblewrap() -> list[str]:
    arguments = [
        shutil.which("bwrap") or "bwrap",
        "--die-with-parent",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
    ]
    if os.geteuid() == 0:  # needs no user namespace, and is to become nobody
        arguments += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        arguments += ["--unshare-user"]
    shown = shown_paths()
    for folder in sorted({str(above) for path in (*shown, str(SHOWN_INSIDE)) for above in Path(path).parents} - {"/"}):
        arguments += ["--perms", "0755", "--dir", folder]  # bubblewrap's own choice would shut nobody out of them
    for path in shown:
        arguments += ["--symlink", os.readlink(path), path] if os.path.islink(path) else ["--ro-bind", path, path]
    arguments += ["--ro-bind", str(INSIDE), str(SHOWN_INSIDE), "--proc", "/proc", "--dev", "/dev"]
    arguments += ["--dir", SCRATCH, "--dir", OTHER_SCRATCH]
    return [*arguments, "--remount-ro", "/", "--chdir", "/", "--"]


def refusal(reasons: dict[str, str]) -> SandboxError:
    """Return the error for a machine that cannot isolate programs; ``reasons`` are by kind of isolation."""
    tried = "; ".join(f"{isolation}: {reason}" for isolation, reason in reasons.items())
    return SandboxError(
        f"model-written programs would run without isolation here, so they do not run ({tried}). Install bubblewrap or "
        "allow user namespaces (sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces; a container needs "
        "them allowed by its runtime). To run them all the same, with your rights and your files in reach: "
        "`rho1bench --unsafe-code-execution ...`."
    )
