"""Resume points on disk: written beside training, whole or not at all, readable by any number of ranks.

A resume point is a folder ``checkpoint-STEP``: weights, optimizer and moving average through torch's distributed
checkpoints, in which each rank writes and reads its part of one common state; the rest (schedule, random states, the
stage's own sums) in small files. Its tensors are copied while training waits, and written by a thread while it goes on.
"""

from __future__ import annotations

import re
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.optim import Optimizer
from transformers import PreTrainedModel

from rho1bench.errors import CheckpointError
from rho1bench.modeling.distributed import is_main, num_processes, wait_for_everyone
from rho1bench.modeling.weights import place_folder
from rho1bench.system.files import changed_files, content_hashes, read_json, write_json

StageState = dict[str, Any]
"""What a stage keeps beside the trainer's state: JSON."""
TENSORS = "tensors"
"""The folder of the distributed checkpoint."""
_STATE_FILE, _HASHES_FILE = "stage_state.json", "hashes.json"


def latest_resume_point(folder: Path) -> Path | None:
    """Return the newest resume point in a stage's ``trainer/`` folder; removes half-written ones."""
    if is_main():
        shutil.rmtree(folder / "partial", ignore_errors=True)
    wait_for_everyone()
    return max(_points(folder), key=_step, default=None)


def note_files(point: Path) -> None:
    """Note the hashes of the files of a resume point that is complete."""
    names = [path.relative_to(point).as_posix() for path in sorted(point.rglob("*")) if path.is_file()]
    write_json(point / _HASHES_FILE, content_hashes(point, names))


def check_resume_point(point: Path) -> None:
    """Raise CheckpointError if a file of a resume point is not as it was written."""
    try:
        changed = changed_files(point, read_json(point / _HASHES_FILE))
    except (OSError, ValueError):
        changed = [_HASHES_FILE]
    if changed:
        raise CheckpointError(
            f"{point / changed[0]}: is missing or was changed after this resume point was written ({_HASHES_FILE} has "
            f"another SHA-256). Remove the folder {point}; the stage then goes on from the resume point before it, or "
            "starts from its beginning."
        )


def read_stage_state(point: Path) -> StageState:
    """Return what the stage stored beside the trainer's state."""
    state: StageState = read_json(point / _STATE_FILE)
    return state


def training_state(model: nn.Module, optimizer: Optimizer, average: PreTrainedModel | None) -> dict[str, Any]:
    """Return the tensors of a resume point by name, of this rank: no copies, so that reading writes into them.

    Names are those of the whole model in memory, whatever wraps or shards it.
    """
    from torch.distributed.checkpoint.state_dict import get_model_state_dict, get_optimizer_state_dict

    state = {"model": get_model_state_dict(model), "optimizer": get_optimizer_state_dict(model, optimizer)}
    return state if average is None else {**state, "average": average.state_dict()}


def read_tensors(point: Path, model: nn.Module, optimizer: Optimizer, average: PreTrainedModel | None) -> None:
    """Load what :class:`ResumePointWriter` wrote; raises CheckpointError unless names and shapes are the model's."""
    from torch.distributed.checkpoint.filesystem import FileSystemReader
    from torch.distributed.checkpoint.state_dict import set_model_state_dict, set_optimizer_state_dict
    from torch.distributed.checkpoint.state_dict_loader import load

    folder, state = point / TENSORS, training_state(model, optimizer, average)
    try:
        stored = FileSystemReader(folder).read_metadata().state_dict_metadata
        _check_names({name for name in stored if name.startswith("model.")}, state["model"])
        load(state, checkpoint_id=folder, no_dist=not _in_group())
    except (OSError, ValueError, RuntimeError, CheckpointException) as error:
        cause = _cause(error) if isinstance(error, CheckpointException) else error
        reason = next((line for line in str(cause).splitlines() if line.strip()), repr(cause))
        raise CheckpointError(
            f"{folder}: is no resume point of this model: {reason}\nRemove the folder {point}; the stage then goes on "
            "from the resume point before it, or starts from its beginning."
        ) from error
    set_model_state_dict(model, state["model"])
    set_optimizer_state_dict(model, optimizer, state["optimizer"])
    if average is not None:
        average.load_state_dict(state["average"])


def _check_names(stored: set[str], own: dict[str, Any]) -> None:
    wanted = {f"model.{name}" for name in own}
    if missing := sorted(wanted - stored):
        raise ValueError(f"it lacks {', '.join(missing[:3])}")
    if more := sorted(stored - wanted):
        raise ValueError(f"it has {', '.join(more[:3])}, which the model lacks")


class ResumePointWriter:
    """Writes the resume points of a stage into ``folder``, and keeps the last ``kept``; one is written at a time."""

    def __init__(self, folder: Path, kept: int) -> None:
        self._folder, self._kept = folder, kept
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._pending: Future[None] | None = None
        self._group: dist.ProcessGroup | None = None

    def start(self, partial: Path, state: dict[str, Any], stage_state: StageState) -> None:
        """Copy ``state`` and return; the files follow, beside those that ``partial`` holds already, on every rank."""
        from torch.distributed.checkpoint.filesystem import FileSystemWriter
        from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
        from torch.distributed.checkpoint.state_dict_saver import async_save

        self.wait()
        if _in_group() and self._group is None:  # of its own: the thread talks while training does
            self._group = dist.new_group(backend="gloo")
        written = async_save(
            state,
            storage_writer=FileSystemWriter(partial / TENSORS, sync_files=False),  # place_folder does
            process_group=self._group,
            async_stager=DefaultStager(StagingOptions(False, False, False, False)),
            no_dist=not _in_group(),
        )
        assert isinstance(written, Future), "only staging in the background returns something else"
        self._pending = self._thread.submit(self._finish, written, partial, stage_state)

    def wait(self) -> None:
        """Return when the last resume point is in its place; raises what has gone wrong with it."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _finish(self, written: Future[Any], partial: Path, stage_state: StageState) -> None:
        """Give the finished resume point its name, and remove those that are too old."""
        try:
            written.result()  # on rank 0: every rank has written
        except CheckpointException as error:  # which is no Exception
            raise _cause(error) from error
        if not is_main():
            return
        write_json(partial / _STATE_FILE, stage_state)
        note_files(partial)
        place_folder(partial, self._folder / partial.name)
        partial.parent.rmdir()
        for old in sorted(_points(self._folder), key=_step)[: -self._kept]:
            shutil.rmtree(old)


def _cause(error: CheckpointException) -> BaseException:
    """Return what went wrong on the first rank where something did."""
    return next((cause for cause, _ in error.failures.values()), error)


def _points(folder: Path) -> list[Path]:
    return [path for path in folder.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]


def _step(point: Path) -> int:
    return int(point.name.removeprefix("checkpoint-"))


def _in_group() -> bool:
    return num_processes() > 1
