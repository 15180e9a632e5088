"""Models of the Hugging Face hub: fetched once into the library's cache, safetensors and small files only."""

from __future__ import annotations

import re
from pathlib import Path

from rho1bench.errors import CheckpointError

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
