"""The exceptions that a user can cause; each message says what, where, what was expected and what to do next.

``cli`` turns every :class:`UserError` into one message on stderr and exit code 2; anything else is a bug and keeps
its traceback.
"""

from __future__ import annotations


class UserError(Exception):
    """Something the user can fix; the message is shown as it is, without a traceback."""


class RecipeError(UserError):
    """A recipe cannot be read, or breaks the schema; lists every problem at once."""


class RunError(UserError):
    """A run cannot start or continue: locked or unwritable folder, full disk, a stage's input is missing."""


class DataError(UserError):
    """A data file is missing, malformed, of the wrong length, or its hash does not match."""


class CheckpointError(UserError):
    """A checkpoint is not one, is incomplete, or does not fit what it is used with."""


class ScoreStoreError(UserError):
    """Stored token scores belong to another reference, tokenizer or packing."""


class TrainingError(UserError):
    """Training cannot continue, a non-finite loss for example."""


class PluginError(UserError):
    """Another installed package extends rho1bench, and what it offers cannot be used."""


class EngineError(UserError):
    """An inference engine is missing, cannot boot or cannot load a checkpoint."""


class SandboxError(UserError):
    """Programs that a model wrote cannot be run here."""


class Stopped(BaseException):
    """A signal has asked the run to stop (``pipeline.stopping``); no error, and no handler of errors may swallow it."""


class MissingPackageError(UserError):
    """An optional package is not installed; the message holds the install line."""

    def __init__(self, package: str, needed_for: str, install: str) -> None:
        super().__init__(
            f"{needed_for} needs the package {package!r}, which is not installed. Install it with:\n  {install}"
        )
