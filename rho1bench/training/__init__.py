"""Training on transformers.Trainer, accelerate and TRL: pretraining (CLM, SLM, reference) and SFT (section 3).

For a trainer of one's own: :class:`SelectiveLoss` before the trainer's class, and :func:`packed_rows` for a packed
corpus with its stored scores (``rho1bench/API.md``).
"""

from typing import TYPE_CHECKING

from rho1bench.system.lazy_face import lazy_face

if TYPE_CHECKING:
    from rho1bench.training.packed_rows import PackedRows as PackedRows
    from rho1bench.training.packed_rows import packed_rows as packed_rows
    from rho1bench.training.trainers.selective_loss import SelectiveLoss as SelectiveLoss

_MODULES = {
    "PackedRows": "packed_rows",
    "SelectiveLoss": "trainers.selective_loss",
    "packed_rows": "packed_rows",
}
__all__ = [
    "PackedRows",
    "SelectiveLoss",
    "packed_rows",
]
__getattr__, __dir__ = lazy_face(__name__, _MODULES)
