"""The three ways to train that ``rho1bench bench train`` measures on a CPU, each in a process of its own.

``naive`` is Selective Language Modeling written down as the paper says it: in every step the reference's forward pass,
the whole logits of both models, a mask. ``clm`` is the loss that transformers gives its Trainer's users. ``ours`` is
the module that ``rho1bench run`` trains, at 60% by excess loss with stored reference scores.
The process obeys lines on stdin (``steps N``, ``end``) and answers each with a line of JSON. Needs torch, transformers
and, for the recipe's schema, pydantic. Shapes: B blocks, T positions.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rho1bench.sizing.shapes import ModelShape

if TYPE_CHECKING:
    from transformers import PreTrainedModel

RATIO = 0.6
WAYS = ("naive", "clm", "ours")
Loss = Callable[["PreTrainedModel", Tensor], Tensor]


@dataclass(frozen=True)
class Workload:
    """The model's shape (Llama), the batch, and the device."""

    hidden_size: int = 768
    intermediate_size: int = 2048
    num_hidden_layers: int = 4
    num_attention_heads: int = 12
    num_key_value_heads: int = 4
    vocab_size: int = 32_000
    block_size: int = 512
    batch_size: int = 4
    device: str = "cpu"
    threads: int = 2
    tie_word_embeddings: bool = False

    @property
    def shape(self) -> ModelShape:
        """The model's shape."""
        names = [field.name for field in fields(ModelShape) if hasattr(self, field.name)]
        return ModelShape(**{name: getattr(self, name) for name in names}, max_position_embeddings=self.block_size)


def naive_loss(reference: PreTrainedModel) -> Loss:
    """Return SLM as it is written down: both models' whole logits, and a mask over the best 60% of the batch."""
    cross_entropy = torch.nn.functional.cross_entropy

    def loss(model: PreTrainedModel, ids_BT: Tensor) -> Tensor:
        logits_BSV = model(input_ids=ids_BT, use_cache=False).logits[:, :-1].float()
        with torch.no_grad():
            reference_BSV = reference(input_ids=ids_BT, use_cache=False).logits[:, :-1].float()
            reference_N = cross_entropy(reference_BSV.flatten(0, 1), ids_BT[:, 1:].flatten(), reduction="none")
        losses_N = cross_entropy(logits_BSV.flatten(0, 1), ids_BT[:, 1:].flatten(), reduction="none")
        excess_N = losses_N.detach() - reference_N
        mask_N = torch.zeros_like(excess_N)
        mask_N[excess_N.topk(int(RATIO * len(excess_N))).indices] = 1.0
        return (losses_N * mask_N).sum() / mask_N.sum()

    return loss


def clm_loss(model: PreTrainedModel, ids_BT: Tensor) -> Tensor:
    """Return the loss of transformers over all tokens."""
    loss: Tensor = model(input_ids=ids_BT, labels=ids_BT, use_cache=False).loss
    return loss


def our_loss(model: PreTrainedModel, kept_bytes: int | None = None) -> Loss:
    """Return the selective loss of this package; the stored scores come with the batch, as in training.

    ``kept_bytes``: see :class:`~rho1bench.selection.selective_lm.SelectiveLM`.
    """
    from rho1bench.recipe import Selection
    from rho1bench.selection.selective_lm import SelectiveLM
    from rho1bench.selection.selector import Selector

    selector = Selector(Selection(ratio=RATIO, scope="micro_batch", token_scores="scores"), seed=0)
    module = SelectiveLM(model, selector, kept_bytes)

    def loss(_: PreTrainedModel, ids_BT: Tensor) -> Tensor:
        inputs = random_inputs(ids_BT)
        loss_sum: Tensor = module(ids_BT, inputs)["loss_sum"]
        return loss_sum / selector.num_selected([inputs])

    return loss


def random_inputs(ids_BT: Tensor) -> dict[str, Tensor]:
    """Return what a selection reads besides the model: all tokens eligible, random losses of a reference."""
    eligible_BS = torch.ones_like(ids_BT[:, 1:], dtype=torch.bool)
    token_positions_BS = torch.arange(eligible_BS.numel(), device=ids_BT.device).view(eligible_BS.shape)
    stored_BS = torch.randn(eligible_BS.shape, device=ids_BT.device).abs_()
    return {"eligible": eligible_BS, "token_positions": token_positions_BS, "reference.losses": stored_BS}


def fresh_model(shape: ModelShape, device: str = "cpu") -> PreTrainedModel:
    """Return an untrained Llama of the shape, float32; it draws from a random stream of its own."""
    from transformers import LlamaConfig, LlamaForCausalLM

    fields_of_config = {name: value for name, value in asdict(shape).items() if name != "architecture"}
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(0)
        return LlamaForCausalLM(LlamaConfig(**fields_of_config))


class Training:
    """One way at work: a model, AdamW, random blocks."""

    def __init__(self, way: str, work: Workload) -> None:
        import rho1bench.selection.selective_lm  # noqa: F401 - loaded before the memory is noted, in every way

        torch.set_num_threads(work.threads)
        torch.manual_seed(0)
        self.work = work
        self._before = _resident_bytes()
        self.model = fresh_model(work.shape, work.device)
        self._loss: Loss = clm_loss
        if way == "naive":
            self._loss = naive_loss(fresh_model(work.shape, work.device).eval().requires_grad_(False))
        elif way == "ours":
            self._loss = our_loss(self.model)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5, foreach=True)
        self.step(torch.randint(work.vocab_size, (1, 16), device=work.device))  # makes the optimizer's state

    def step(self, ids_BT: Tensor) -> float:
        """Train on one batch; return its loss."""
        loss = self._loss(self.model, ids_BT)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    def seconds(self, steps: int) -> float:
        """Return how long ``steps`` optimizer steps take."""
        work = self.work
        batches = torch.randint(work.vocab_size, (steps, work.batch_size, work.block_size), device=work.device)
        began = time.perf_counter()
        for ids_BT in batches:
            self.step(ids_BT)
        return time.perf_counter() - began

    def memory(self) -> dict[str, int]:
        """Return bytes: the peak above what the process had before the model, and the state of training in it.

        The state is the weights, a gradient for each, and the optimizer's tensors. The reference model of the naive way
        is no part of it.
        """
        weights = sum(parameter.numel() * parameter.element_size() for parameter in self.model.parameters())
        moments = (
            value.numel() * value.element_size()
            for state in self.optimizer.state.values()
            for value in state.values()
            if isinstance(value, Tensor)
        )
        return {"peak": _peak_resident_bytes() - self._before, "state": 2 * weights + sum(moments)}


def _peak_resident_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def obey(way: str, work: Workload) -> None:
    """Set up, then do what stdin says: ``steps N`` answers seconds, ``end`` the memory."""
    training = Training(way, work)
    for line in sys.stdin:
        word, _, number = line.strip().partition(" ")
        answer: float | dict[str, int] = training.seconds(int(number)) if word == "steps" else training.memory()
        print(json.dumps(answer), flush=True)
        if word == "end":
            return


if __name__ == "__main__":
    obey(sys.argv[1], Workload(**json.loads(sys.argv[2])))
