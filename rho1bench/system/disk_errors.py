"""Turns the errors of a disk (full, read-only, not ours) into one clear :class:`RunError`.

Libraries wrap such errors in exceptions of their own, so the whole chain of causes is searched, messages included.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rho1bench.errors import RunError, UserError

FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_MESSAGES = re.compile(
    r"No space left on device|os error 28|Disk quota exceeded|PytorchStreamWriter failed writing"
    r"|unexpected pos \d+ vs \d+|basic_ios::clear: iostream error"  # torch.save, which has no number for it
    r"|\d+ requested and \d+ written"  # numpy
)
REFUSED = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.EIO,
    errno.ELOOP,
)


def reason(error: OSError) -> str:
    """Return what the system says of a path, in plainer words where a file stands in a folder's place."""
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return "a file stands where a folder is expected"
    return os.strerror(error.errno) if error.errno else str(error)


@contextmanager
def disk_errors(folder: Path, *, refused_too: tuple[int, ...] = ()) -> Iterator[None]:
    """Raise ``RunError`` in place of an error of the disk that holds ``folder``; let every other error through.

    ``refused_too`` are further error numbers that count as a refusal here.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        chain = list(_chain(error))
        if any(_is_full(link) for link in chain):
            raise RunError(_full_message(folder)) from error
        numbers = {*REFUSED, *refused_too}
        refused = next((link for link in chain if isinstance(link, OSError) and link.errno in numbers), None)
        if refused is not None and _concerns(refused, folder):
            place = refused.filename or folder
            raise RunError(
                f"cannot write to the run folder {folder}: {reason(refused)} ({place}). "
                "Make it writable, or give another folder with --output."
            ) from error
        raise


def free_megabytes(folder: Path) -> int:
    """Return the free space of the disk that holds ``folder`` or its nearest existing parent, in MB."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free // 1_000_000


def _full_message(folder: Path) -> str:
    return (
        f"the disk that holds the run folder {folder} is full ({free_megabytes(folder)} MB left). "
        "Free some space and give the same command again; it continues where it stopped."
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    return FULL_MESSAGES.search(str(error)) is not None


def _concerns(error: OSError, folder: Path) -> bool:
    """Tell whether a refused access was to the run folder; one without a file name is taken for it."""
    if error.filename is None or not isinstance(error.filename, str | Path):
        return True
    place, run = Path(error.filename).absolute(), folder.absolute()
    return place == run or run in place.parents or place in run.parents
