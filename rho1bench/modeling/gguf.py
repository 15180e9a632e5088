"""``rho1bench convert``: a GGUF file becomes a checkpoint folder, by transformers' own reader of GGUF.

Quantized weights are read back as float32, so the folder is larger than the file and says the same.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from rho1bench.errors import CheckpointError, MissingPackageError, RunError
from rho1bench.system.disk_errors import reason

_MAGIC = b"GGUF"


def convert_gguf(source: Path, output: Path) -> None:
    """Write the model in the GGUF file ``source`` as a checkpoint folder ``output``: whole, or not at all.

    Raises:
        CheckpointError: ``source`` is not a GGUF file, or its architecture is unknown to transformers.
        RunError: ``output`` is there already or cannot be written.
        MissingPackageError: the package ``gguf`` is not installed.
    """
    if not source.is_file():
        what = "is a folder" if source.is_dir() else "no such file"
        raise CheckpointError(f"{source}: {what}; expected a model in GGUF format")
    try:
        with source.open("rb") as handle:
            begins = handle.read(len(_MAGIC))
    except OSError as error:
        raise CheckpointError(f"{source}: cannot be read: {error.strerror}. Give another file.") from error
    if begins != _MAGIC:
        raise CheckpointError(f"{source}: not a GGUF file (it does not begin with {_MAGIC.decode()})")
    if output.exists():
        raise RunError(f"{output} is there already; give another --output, or remove it")
    if importlib.util.find_spec("gguf") is None:
        raise MissingPackageError("gguf", "reading a GGUF file", "pip install 'rho1bench[gguf]'")
    try:
        output.absolute().parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.absolute().parent))
    except OSError as error:
        raise RunError(f"{output} cannot be written: {reason(error)}") from error
    try:
        _write(source, temporary)
        temporary.chmod(0o755)
        os.replace(temporary, output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(source: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    place, name = str(source.absolute().parent), source.name
    try:
        model = AutoModelForCausalLM.from_pretrained(place, gguf_file=name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=name)
    except Exception as error:
        raise CheckpointError(f"{source}: transformers cannot read this GGUF file ({error})") from error
    config = model.config
    if hasattr(
        config, "quantization_config"
    ):  # transformers remembers where the weights came from, and then saves none
        del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
