"""LoRA and other PEFT adapters: each is merged into its base model once, and evaluated as any other checkpoint.

Used by ``rho1bench eval`` before anything is checked. The merged folder lies beside the results and is named by the
files of adapter and base, so that it is made again where one of them has changed, and every engine answers alike.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rho1bench.corpus.tokenizer import vocabulary_size
from rho1bench.errors import CheckpointError, MissingPackageError, RunError
from rho1bench.evaluation.checkpoint_settings import read_object
from rho1bench.evaluation.checkpoints import ADAPTER, Checkpoint
from rho1bench.system.files import sha256_file, sha256_json
from rho1bench.system.hub import find_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_WEIGHTS = "adapter_model.safetensors"
_TOKENIZER = "tokenizer.json"
_SMALL = ("*.json", "*.model", "*.txt", "*.jinja")
_OF_WEIGHTS = ("config.json", "generation_config.json", "model.safetensors.index.json")
"""Small files of a base that are written anew with the merged weights."""


def with_bases(
    checkpoints: Sequence[Checkpoint], base: str | None, output: Path, message: Callable[[str], None]
) -> list[Checkpoint]:
    """Return the checkpoints, each adapter among them merged into its base, in a folder under ``output``.

    Args:
        checkpoints: folders of models or adapters.
        base: the model under every adapter, a folder or hub id; None: the one that the adapter names.
        output: holds the merged folders.
        message: is told what is merged.

    Raises:
        CheckpointError: adapter or base cannot be used, or they do not belong together. RunError: ``base`` is given
            and no checkpoint is an adapter. MissingPackageError: peft is not installed.
    """
    if base is not None and not any(checkpoint.is_adapter for checkpoint in checkpoints):
        raise RunError("--base names the model under an adapter (a folder with adapter_config.json), and none is here.")
    return [_merged(one, base, output, message) if one.is_adapter else one for one in checkpoints]


def _merged(adapter: Checkpoint, base: str | None, output: Path, message: Callable[[str], None]) -> Checkpoint:
    found = _base(adapter, base)
    files = {path.name: sha256_file(path) for pattern in _SMALL for path in adapter.folder.glob(pattern)}
    key = sha256_json([files, sha256_file(_weights(adapter.folder)), found.files_sha256])
    target = output / f"{adapter.label}.merged-{key[:12]}"
    if not target.is_dir():
        if importlib.util.find_spec("peft") is None:
            raise MissingPackageError("peft", "evaluating an adapter", "pip install 'rho1bench[peft]'")
        message(f"{adapter.label}: merged into {found.source}, in {target}")
        output.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=output))
        try:
            _write(adapter.folder, found, temporary)
            temporary.chmod(0o755)
            os.replace(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return replace(adapter, folder=target)


def _base(adapter: Checkpoint, given: str | None) -> Checkpoint:
    """Return the model under an adapter, checked."""
    settings = read_object(adapter.folder / ADAPTER)
    name = given or settings.get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise CheckpointError(f"{adapter.folder / ADAPTER}: names no base model. Give it: --base FOLDER.")
    try:
        folder, commit = find_model(name, None if given else settings.get("revision"))
    except CheckpointError as error:
        raise CheckpointError(f"{adapter.folder}: its base model is not here: {error} --base names another.") from error
    base = Checkpoint(adapter.label, folder, adapter.label, source=name, revision=commit)
    base.check()
    if "quantization_config" in read_object(folder / "config.json"):
        raise CheckpointError(f"{name}: is quantised, so nothing can be merged into it. Give the whole: --base NAME.")
    return base


def _weights(folder: Path) -> Path:
    path = folder / _WEIGHTS
    if not path.is_file():
        pickled = (folder / "adapter_model.bin").is_file()
        what = "its weights are a pickle file, which can run code when it is loaded" if pickled else "holds no weights"
        raise CheckpointError(f"{folder}: {what}; expected {_WEIGHTS}. Save the adapter again with peft.")
    return path


def _write(adapter: Path, base: Checkpoint, target: Path) -> None:
    """Write the merged model with the tokenizer of the adapter where it has one, else that of the base."""
    for folder in (base.folder, adapter) if (adapter / _TOKENIZER).is_file() else (base.folder,):
        for path in (path for pattern in _SMALL for path in folder.glob(pattern)):
            if path.name not in (*_OF_WEIGHTS, ADAPTER):
                shutil.copyfile(path, target / path.name)
    _whole_model(adapter, base).save_pretrained(target)


def _whole_model(adapter: Path, base: Checkpoint) -> PreTrainedModel:
    """Return the base with the adapter in its weights: added in float32, then rounded to the base's own precision."""
    import torch

    from rho1bench.modeling.causal_lm import load_model
    from rho1bench.modeling.causal_lm import vocabulary_size as rows_of_embedding

    settings = read_object(base.folder / "config.json")
    stored = getattr(torch, str(settings.get("dtype") or settings.get("torch_dtype")), torch.float32)
    model = load_model(base.folder, name=base.source)
    if (adapter / _TOKENIZER).is_file() and vocabulary_size(adapter) > rows_of_embedding(model):
        raise CheckpointError(
            f"{adapter}: its tokenizer has {vocabulary_size(adapter)} tokens, its base {rows_of_embedding(model)}. "
            "Save the base with the added tokens, and give it: --base FOLDER."
        )
    try:
        whole: PreTrainedModel = _merge(adapter, base, model).to(stored)
    except (ValueError, RuntimeError, KeyError, TypeError, NotImplementedError, AttributeError, OSError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise CheckpointError(
            f"{adapter}: cannot be merged into {base.source}: {first}. Is that its base model (--base FOLDER)?"
        ) from error
    return whole


def _merge(adapter: Path, base: Checkpoint, model: PreTrainedModel) -> Any:
    """Return ``model`` with the adapter in its weights; every weight of the adapter has to have its place in it."""
    from peft import PeftConfig, get_peft_model

    config: Any = PeftConfig.from_pretrained(str(adapter))
    if config.is_prompt_learning:
        raise CheckpointError(f"{adapter}: an adapter of type {config.peft_type.value} is a prompt, not to be merged.")
    wrapped: Any = get_peft_model(model, config)
    loaded = wrapped.load_adapter(str(adapter), "default", torch_device="cpu")
    if lost := [*loaded.unexpected_keys, *loaded.missing_keys]:
        raise CheckpointError(f"{adapter}: is no adapter of {base.source}: {lost[0]} has no counterpart.")
    return wrapped.merge_and_unload(safe_merge=True)
