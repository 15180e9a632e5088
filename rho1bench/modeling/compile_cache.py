"""Where torch.compile keeps what it has made: with the user, so that later stages and runs need not make it again.

By default torch keeps it in the folder for temporary files, which jobs of a cluster lose. Stages of a run are processes
of their own; the second one of a shape finds what the first one made.
"""

from __future__ import annotations

import os

from rho1bench.system.data_root import user_cache

VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def keep_compiled() -> None:
    """Name the folder to torch, before it compiles; a folder of the user's choice stays, as does torch's without ours.

    Ours is ``$XDG_CACHE_HOME/rho1bench/compiled``, else ``~/.cache/rho1bench/compiled``.
    """
    if VARIABLE in os.environ:
        return
    folder = user_cache() / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        os.environ[VARIABLE] = str(folder)
