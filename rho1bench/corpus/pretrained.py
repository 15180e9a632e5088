"""Takes a pretrained tokenizer, from the hub or a folder, into the folder of a ``tokenizer`` stage (section 3.1).

Continual pretraining keeps the base model's tokenizer. Its files are copied as they are, special tokens and all; only
fast tokenizers (a ``tokenizer.json``) serve, and no code of a repository is ever run.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from rho1bench.errors import DataError
from rho1bench.files import atomic_path

FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)


def copy_pretrained(name: str, revision: str | None, target: Path) -> None:
    """Copy the tokenizer ``name`` (a folder or a hub id) to ``target``; raises DataError if it cannot serve."""
    source = Path(name).expanduser()
    if not source.is_dir():
        source = _download(name, revision)
    for file in FILES[:2]:
        if not (source / file).is_file():
            raise DataError(
                f"{name}: has no {file}. Only fast tokenizers serve: folders or hub ids with a tokenizer.json and a "
                "tokenizer_config.json (AutoTokenizer.from_pretrained(...).save_pretrained(FOLDER) writes both)."
            )
    for file in FILES:
        if (source / file).is_file():
            with atomic_path(target / file) as temporary:
                shutil.copyfile(source / file, temporary)
    _check(name, target)


def _download(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(FILES)))
    except HFValidationError as error:
        raise DataError(f"{name}: there is no such folder, and it is no hub id either.") from error
    except Exception as error:  # the hub's client raises errors of many libraries
        raise DataError(
            f"{name}: the tokenizer cannot be fetched from the hub ({type(error).__name__}: {_first_line(error)}). "
            "Check the id and the revision, or give a folder with its files as `pretrained`."
        ) from error


def _check(name: str, folder: Path) -> None:
    """Raise DataError unless the copy loads, and parts documents with an end-of-text token."""
    from transformers import AutoTokenizer

    from rho1bench.corpus.tokenizer import special_tokens

    try:
        special_tokens(folder)
        AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except DataError:
        raise
    except Exception as error:  # tokenizers raises bare Exception for a file it cannot read
        raise DataError(f"{name}: the tokenizer cannot be loaded: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
