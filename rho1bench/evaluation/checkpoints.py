"""What is evaluated: a checkpoint folder with its label and place in training, checked before any engine sees it.

Used by the eval stage; the labels are those of the result folders (``slm``, ``slm@000100``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rho1bench.errors import CheckpointError
from rho1bench.files import read_json, read_jsonl, sha256_bytes, sha256_json

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_VOLATILE = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")


@dataclass(frozen=True)
class Checkpoint:
    """One model folder; ``tokens`` and ``selected_tokens`` count training up to ``step`` (None where not known)."""

    label: str
    folder: Path
    stage: str
    step: int | None = None
    tokens: int | None = None
    selected_tokens: int | None = None

    def check(self) -> None:
        """Raise :class:`CheckpointError` if files are missing or the weights hold NaN or infinity."""
        for names in (("config.json",), _WEIGHTS, ("tokenizer.json", "tokenizer.model", "vocab.json")):
            if not any((self.folder / name).is_file() for name in names):
                raise CheckpointError(
                    f"{self.folder}: not a checkpoint, {' or '.join(names)} is missing. "
                    "Expected a Hugging Face model folder with config, safetensors weights and tokenizer."
                )
        self._check_weights()

    def _check_weights(self) -> None:
        from safetensors import safe_open

        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                with safe_open(path, framework="pt") as weights:
                    for name in weights.keys():  # noqa: SIM118 (not a mapping)
                        tensor = weights.get_tensor(name)
                        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                            raise CheckpointError(f"{path}: tensor {name} holds NaN or infinity; training went wrong")
            except OSError as error:
                raise CheckpointError(f"{path}: cannot be read: {error}") from error
            except Exception as error:
                if type(error).__module__.startswith("safetensors"):
                    raise CheckpointError(f"{path}: not a safetensors file ({error})") from error
                raise

    def architecture(self) -> str:
        """Return a hash that two checkpoints share if one engine can serve both by swapping weights."""
        config: dict[str, Any] = read_json(self.folder / "config.json")
        stable = {key: value for key, value in config.items() if key not in _VOLATILE}
        tokenizer = self.folder / "tokenizer.json"
        return sha256_json([stable, sha256_bytes(tokenizer.read_bytes()) if tokenizer.exists() else ""])


def final_checkpoint(stage: str, folder: Path) -> Checkpoint:
    """Return the last checkpoint of the training stage in ``folder``."""
    training = folder / "training.json"
    facts: dict[str, Any] = read_json(training) if training.exists() else {}
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
