"""The Hugging Face hub: models, fetched once into the library's cache (safetensors and small files), and commits."""

from __future__ import annotations

import re
from pathlib import Path

from rho1bench.errors import CheckpointError, RunError

HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+?)(@(?P<revision>[\w./-]+))?")
"""``owner/name``, with ``@revision`` where one is meant."""
_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")


def find_model(name: str, revision: str | None = None) -> tuple[Path, str | None]:
    """Return the folder of a model and, if it came from the hub, its commit.

    Args:
        name: a folder, or a hub id with an optional ``@revision``.
        revision: branch, tag or commit of a hub id.

    Raises:
        CheckpointError: a folder does not exist, or a hub id cannot be downloaded.
    """
    folder = Path(name).expanduser()
    match = HUB_ID.fullmatch(name)
    if folder.exists():
        return folder, None
    if match is None or name.startswith((".", "/", "~")):
        raise CheckpointError(
            f"{name}: no such folder. Expected a checkpoint folder, or a hub id such as "
            "microsoft/rho-math-1b-v0.1 or microsoft/rho-math-1b-v0.1@REVISION."
        )
    snapshot = _download(match["repo"], match["revision"] or revision)
    return snapshot, snapshot.name


def public_name(source: str) -> str:
    """Return a hub id as it is, and of a folder its name alone, without its place on this machine."""
    return Path(source).name if source.startswith(("/", ".", "~")) or source.count("/") > 1 else source


def find_commit(name: str, kind: str, revision: str | None = None) -> str:
    """Return the commit that a ``revision`` (default: the main branch) of something on the hub stands at now.

    ``kind`` is ``models`` or ``datasets``. Raises RunError where the hub does not say.
    """
    from huggingface_hub import HfApi, errors

    asked = f"{kind}/{name}@{revision}" if revision else f"{kind}/{name}"
    try:
        commit = HfApi().repo_info(name, repo_type=kind.removesuffix("s"), revision=revision, timeout=30).sha
    except errors.GatedRepoError as error:
        raise RunError(f"{asked}: the hub asks you to accept a licence and to log in (hf auth login)") from error
    except errors.RepositoryNotFoundError as error:
        raise RunError(f"{asked}: is not on the hub (or no longer, or private)") from error
    except errors.RevisionNotFoundError as error:
        raise RunError(f"{asked}: the hub has no such revision") from error
    except Exception as error:  # the hub's clients raise errors of many libraries
        first = (str(error).splitlines() or [""])[0]
        raise RunError(f"{asked}: the hub cannot be asked ({type(error).__name__}: {first})") from error
    assert commit is not None, "the hub gives the commit of what it has"
    return commit


def _download(repo: str, revision: str | None) -> Path:
    from huggingface_hub import errors, snapshot_download

    asked = f"{repo}@{revision}" if revision else repo
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(_FILES)))
    except errors.GatedRepoError as error:
        raise CheckpointError(f"{asked}: the hub asks you to accept a licence and to log in (hf auth login)") from error
    except errors.RevisionNotFoundError as error:
        raise CheckpointError(f"{asked}: the hub has no such revision of {repo}") from error
    except errors.RepositoryNotFoundError as error:
        raise CheckpointError(f"{asked}: neither a folder here nor a model on the hub (or a private one)") from error
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, errors.HfHubHTTPError, OSError) as error:
        raise CheckpointError(
            f"{asked}: there is no such folder, the hub cannot be reached (or HF_HUB_OFFLINE is set), and the model is "
            "not in the local cache. Check the name and the connection, or give a folder."
        ) from error
