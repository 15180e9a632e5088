"""What is evaluated: a checkpoint folder with its label and place in training, checked before any engine sees it.

Used by the eval stage and by ``rho1bench eval``, where a checkpoint is a folder or a hub id with an optional
``@revision``. The labels are those of the result folders (``slm``, ``slm@000100``), unique among those evaluated
together.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rho1bench.errors import CheckpointError
from rho1bench.evaluation.checkpoint_settings import read_object, swap_key
from rho1bench.modeling.weight_files import check_finite, check_stored, has_weights, weight_files
from rho1bench.system.files import read_jsonl, read_own_json, sha256_file, sha256_json
from rho1bench.system.hub import find_model

ADAPTER = "adapter_config.json"
"""What PEFT writes beside the weights of an adapter."""
_EXPECTED = "a Hugging Face model folder with config, safetensors weights and tokenizer"
_TRAINING = "training.json"
"""What a training stage leaves beside its checkpoints."""


@dataclass(frozen=True)
class Checkpoint:
    """One model; ``tokens`` and ``selected_tokens`` count training up to ``step`` (None where not known).

    ``folder`` does not exist for a model that only a server knows.
    """

    label: str
    folder: Path
    stage: str
    step: int | None = None
    tokens: int | None = None
    selected_tokens: int | None = None
    source: str | None = None
    """What the user called it: a folder, a hub id, the name that a server gives it."""
    revision: str | None = None
    """Commit of a hub id."""

    def check(self) -> None:
        """Raise :class:`CheckpointError` if files are missing or broken, or the weights hold NaN or infinity."""
        if not self.folder.is_dir():
            what = "is a file" if self.folder.is_file() else "no such folder"
            raise CheckpointError(f"{self.folder}: {what}. Expected a checkpoint: {_EXPECTED}.")
        self._check_adapter()
        for names in (("config.json",), ("tokenizer.json", "tokenizer.model", "vocab.json")):
            if not any((self.folder / name).is_file() for name in names):
                raise CheckpointError(
                    f"{self.folder}: not a checkpoint, {' or '.join(names)} is missing. Expected {_EXPECTED}."
                )
        quantised = "quantization_config" in read_object(self.folder / "config.json")
        for path in weight_files(self.folder):
            if not quantised:
                check_stored(path)
            check_finite(path)

    def check_names_of_weights(self) -> None:
        """Raise :class:`CheckpointError` if the weights are not those of the model that ``config.json`` describes.

        For engines that load weights by code of their own, and leave random what they do not find. Not judged is what
        the engine may know and transformers does not: an architecture of its own, or quantised weights, whose names are
        those of the method.
        """
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

        from rho1bench.modeling.causal_lm import check_weights

        config = read_object(self.folder / "config.json")
        known = set(config.get("architectures") or []) <= set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
        if known and "quantization_config" not in config:
            check_weights(self.folder, name=self.source or str(self.folder))

    def _check_adapter(self) -> None:
        if self.is_adapter:
            base = read_object(self.folder / ADAPTER).get("base_model_name_or_path")
            raise CheckpointError(
                f"{self.folder}: an adapter of {base}, without that model's weights. `rho1bench eval` merges the two, "
                "in a folder that it tells, OUTPUT/NAME.merged-...; give that one."
            )

    @property
    def is_adapter(self) -> bool:
        """True for the folder of a PEFT adapter, which holds no model of its own."""
        return (self.folder / ADAPTER).is_file() and not (self.folder / "config.json").is_file()

    @property
    def trained_here(self) -> bool:
        """True if the folder is part of a training stage's, as its last checkpoint or one along the way."""
        return any((parent / _TRAINING).is_file() for parent in list(self.folder.absolute().parents)[:2])

    @property
    def has_weights(self) -> bool:
        """False for a model that only a server knows."""
        return has_weights(self.folder)

    @property
    def identity(self) -> str:
        """A hash that distinguishes this model's answers from those of another one."""
        return self.files_sha256 if self.has_weights else f"served as {self.source}"

    @cached_property
    def files_sha256(self) -> str:
        """Hash of weights, config and tokenizer files: what the answers depend on besides the engine.

        Records hold it as ``weights_sha256``; ``modeling.causal_lm.weights_sha256`` is of the weights alone.
        """
        patterns = ("*.json", "*.model", "merges.txt", "vocab.txt")
        small = [path for pattern in patterns for path in self.folder.glob(pattern)]
        return sha256_json({path.name: sha256_file(path) for path in [*weight_files(self.folder), *small]})

    @cached_property
    def num_parameters(self) -> int:
        """Number of parameters, as stored (a tied output layer counts once)."""
        from safetensors import safe_open

        total = 0
        for path in weight_files(self.folder):
            with safe_open(path, framework="numpy") as weights:
                total += sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
        return total

    def swap_key(self) -> str:
        """Return a hash that two checkpoints share if one engine can serve both by exchanging the weights."""
        return swap_key(self.folder, weight_files(self.folder))


def final_checkpoint(stage: str, folder: Path) -> Checkpoint:
    """Return the last checkpoint of the training stage in ``folder``."""
    training = folder / _TRAINING
    facts: dict[str, Any] = read_own_json(training) if training.exists() else {}
    return Checkpoint(
        stage, folder / "checkpoint", stage, facts.get("max_steps"), facts.get("tokens"), facts.get("selected_tokens")
    )


def trajectory_checkpoints(stage: str, folder: Path) -> list[Checkpoint]:
    """Return the checkpoints along the way of the training stage in ``folder``, then the last one."""
    metrics = folder / "metrics.jsonl"
    rows = [row for row in read_jsonl(metrics) if "tokens" in row] if metrics.exists() else []
    found = []
    for path in sorted((folder / "checkpoints").glob("step-*")):
        step = int(path.name.removeprefix("step-"))
        counts = _counts_at(step, rows)
        found.append(Checkpoint(f"{stage}@{step:06d}", path, stage, step, *counts))
    return [*found, final_checkpoint(stage, folder)]


def _counts_at(step: int, rows: list[dict[str, Any]]) -> tuple[int | None, int | None]:
    """Tokens and selected tokens after ``step``: logged there, or in proportion from the nearest logged step."""
    logged = [row for row in rows if row.get("step")]
    if not logged:
        return None, None
    nearest = min(logged, key=lambda row: abs(int(row["step"]) - step))
    share = step / int(nearest["step"])
    return round(nearest["tokens"] * share), round(nearest.get("selected_tokens", nearest["tokens"]) * share)


_GENERIC = re.compile(r"(checkpoint|model|final|last|best|snapshot)s?|(checkpoint|step)-\d+")


def find_checkpoints(names: Sequence[str], *, served: bool = False) -> list[Checkpoint]:
    """Return the checkpoints called ``names``, with their files on this machine.

    Args:
        names: folders or hub ids; with ``served`` also names that only the server knows.
        served: whether a server holds the weights, so that they need not be here.

    Raises:
        CheckpointError: a folder does not exist, a hub id cannot be downloaded, or a name comes twice.
    """
    if len(set(names)) < len(names):
        raise CheckpointError(f"a checkpoint is named twice: {', '.join(names)}")
    labels = _labels(names)
    return [_find(name, label, served) for name, label in zip(names, labels, strict=True)]


def _find(name: str, label: str, served: bool) -> Checkpoint:
    folder = Path(name).expanduser()
    if served and not folder.exists():
        return Checkpoint(label, folder, label, source=name)
    folder, commit = find_model(name)
    return Checkpoint(label, folder, label, source=name.partition("@")[0] if commit else name, revision=commit)


def _labels(names: Sequence[str]) -> list[str]:
    """Name each by its last part, with as many parents as make it tell something and stand alone."""
    parts = [[part for part in re.split(r"[/\\]+", name) if part.strip("~.")] or ["model"] for name in names]
    lengths = [2 if _GENERIC.fullmatch(part[-1]) else 1 for part in parts]
    for _ in range(max(map(len, parts))):
        labels = ["-".join(part[-length:]) for part, length in zip(parts, lengths, strict=True)]
        lengths = [length + (labels.count(label) > 1) for label, length in zip(labels, lengths, strict=True)]
    return [label if labels.count(label) == 1 else f"{label}-{place}" for place, label in enumerate(labels, start=1)]
