"""The files that a checkpoint's weights lie in: found, and judged before a library reads them.

Used by :mod:`rho1bench.modeling.causal_lm` for every model that is loaded here, and by ``evaluation``, whose engines
load weights by code of their own. Libraries differ in which files they take where there are several, and in what they
make of a damaged one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rho1bench.errors import CheckpointError
from rho1bench.system.files import read_object

if TYPE_CHECKING:
    from torch import Tensor

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt")
_AGAIN = "Copy or download the checkpoint again."


def has_weights(folder: Path) -> bool:
    """Tell whether a folder holds safetensors weights under the names that libraries look for."""
    return any((folder / name).is_file() for name in (SINGLE, INDEX))


def weight_files(folder: Path) -> list[Path]:
    """Return the files of the weights: one, or the shards that an index names.

    Raises CheckpointError where there are none, some are missing, or two sets of weights lie side by side.
    """
    if not has_weights(folder):
        raise CheckpointError(_why_none(folder))
    index = folder / INDEX
    if not index.is_file():
        return [folder / SINGLE]
    names = _indexed(index)
    if (folder / SINGLE).is_file() and SINGLE not in names:
        raise CheckpointError(
            f"{folder}: holds {SINGLE} and the {len(names)} shards that {INDEX} names; libraries differ in which of "
            "the two they load. Remove those that are not meant."
        )
    paths = [folder / name for name in names]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        fault = f"{len(missing)} of its {len(paths)} shards are missing ({missing[0]})"
        raise CheckpointError(f"{index}: {fault}. {_AGAIN}")
    return paths


def check_stored(path: Path) -> None:
    """Raise CheckpointError unless a file of weights is whole and its weights are floating-point numbers.

    Only its header is read. Integers are what a quantised model holds whose config.json does not say so.
    """
    with _opened(path) as weights:
        for name in weights.keys():  # noqa: SIM118 (not a mapping)
            dtype = weights.get_slice(name).get_dtype()
            if name.endswith("weight") and not dtype.startswith(("F", "BF")):
                raise CheckpointError(
                    f"{path}: tensor {name} is stored as {dtype}; expected floating-point numbers. Save the model "
                    "again with model.save_pretrained; quantised weights need a quantization_config in config.json."
                )


def check_finite(path: Path) -> None:
    """Raise CheckpointError if a file of weights holds NaN or infinity, or is not whole."""
    with _opened(path) as weights:
        for name in weights.keys():  # noqa: SIM118 (not a mapping)
            tensor = weights.get_tensor(name)
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise CheckpointError(f"{path}: tensor {name} holds NaN or infinity; training went wrong")


def read_weights(path: Path, names: Collection[str]) -> list[Tensor]:
    """Return those of the weights called ``names`` that a file holds; raises CheckpointError if it is not whole."""
    with _opened(path) as weights:
        return [weights.get_tensor(name) for name in weights.keys() if name in names]  # noqa: SIM118 (not a mapping)


def _why_none(folder: Path) -> str:
    """Say why a folder has no weights that can be read."""
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        return (
            f"{folder}: the weights are only in {pickles[0]}, a pickle file, which can run code when it is "
            "loaded, so it is not. Save the model again as safetensors (model.save_pretrained in transformers)."
        )
    others = sorted(path.name for path in folder.glob("*.safetensors") if path.is_file())
    if others:
        return f"{folder}: holds {others[0]}, but no {SINGLE}, and no {INDEX} that names its shards. {_AGAIN}"
    return f"{folder}: not a checkpoint, {SINGLE} or {INDEX} is missing. Expected a model with safetensors weights."


def _indexed(index: Path) -> list[str]:
    """Return the names of the shards that an index lists, in order; raises CheckpointError for what is no index."""
    places = read_object(index, CheckpointError).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise CheckpointError(f"{index}: has no weight_map that says which shard holds which weight. {_AGAIN}")
    names = set(places.values())
    if outside := [name for name in names if not isinstance(name, str) or Path(name).name != name]:
        raise CheckpointError(f"{index}: names {outside[0]!r}, which is no file of its folder. {_AGAIN}")
    return sorted(names)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file of weights, by a class without types; raises CheckpointError if it is none, or not a whole one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as weights:
            yield weights
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    except SafetensorError as error:
        raise CheckpointError(
            f"{path}: not a safetensors file, or not a whole one ({error}). Copy or download it again."
        ) from error
