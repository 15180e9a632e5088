"""The transformers engine: lm-eval's ``HFLM`` with batched decoding, left padding, float32; needs no vLLM.

Prompts of like length share a batch, the KV cache is kept, a row that reached a stop string is finished for good.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines import (
    EngineFacts,
    EngineSettings,
    FinishReason,
    Generation,
    Request,
    context_length,
    cpu_threads,
    cut_at,
    fit,
    too_long,
    with_batch_size,
)
from rho1bench.evaluation.engines.codec import Codec
from rho1bench.evaluation.engines.failures import one_message
from rho1bench.modeling.causal_lm import load_model
from rho1bench.modeling.library_internals import attention_implementation

if TYPE_CHECKING:
    import torch
    from lm_eval.models.huggingface import HFLM
    from transformers import PreTrainedModel

BATCH_SIZE = 64
"""Rows decoded together; more would only spill the KV cache out of the processor's cache."""


class HFEngine:
    """See :class:`rho1bench.evaluation.engines.Engine`."""

    name = "hf"
    answers_version = 2

    def __init__(self, settings: EngineSettings) -> None:
        import torch
        import transformers

        from rho1bench.evaluation.engines.vllm_setup import check_companions

        check_companions()
        self.version = transformers.__version__
        self.boots = 0
        self.settings = with_batch_size(settings)
        self.dtype = settings.dtype or "float32"
        self._lm: HFLM | None = None
        self._codec: Codec | None = None
        self._device = "cuda" if torch.cuda.is_available() else "cpu"

    @property
    def lm(self) -> HFLM:
        """lm-eval's ``HFLM``."""
        assert self._lm is not None, "no checkpoint is loaded"
        return self._lm

    @property
    def codec(self) -> Codec:
        """The loaded checkpoint's tokenizer."""
        assert self._codec is not None, "no checkpoint is loaded"
        return self._codec

    def load(self, checkpoint: Checkpoint) -> None:
        """Load the folder's model; a tokenizer without a padding token gets its end token for padding."""
        import torch

        if self._device == "cpu":
            torch.set_num_threads(cpu_threads(checkpoint.folder, self.settings))
        self.close()
        with one_message(self.name, f"load {checkpoint.folder}", self.settings.log):
            self._load(checkpoint.folder)
        self.boots += 1

    def _load(self, folder: Path) -> None:
        from lm_eval.models.huggingface import HFLM

        codec = Codec(folder)
        model = load_model(folder, self.dtype).eval()
        self._lm = HFLM(
            model.to(self._device),
            tokenizer=codec.tokenizer,
            max_length=context_length(folder, self.settings),
            batch_size=BATCH_SIZE,
            prefix_token_id=codec.prefix_id,
        )
        self._codec = codec

    def facts(self) -> EngineFacts:
        """See :class:`rho1bench.evaluation.engines.Engine`."""
        return {"attention_backend": str(attention_implementation(self.lm.model)), "max_num_seqs": BATCH_SIZE}

    def stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generation]]:
        """Complete the prompts in batches of like length; a row that is finished is handed out at once."""
        with one_message(self.name, "complete the prompts", self.settings.log):
            yield from self._stream(requests)

    def _stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generation]]:
        encoded = [self.codec.encode(request.prompt) for request in requests]
        groups: dict[tuple[tuple[str, ...], int], list[int]] = {}
        for place, (tokens, request) in enumerate(zip(encoded, requests, strict=True)):
            room = fit(len(tokens), request.max_gen_toks, self.lm.max_length)
            if room > 0:
                groups.setdefault((request.until, room), []).append(place)
            else:
                yield place, too_long(len(tokens))
        for (until, room), places in groups.items():
            places.sort(key=lambda place: (-len(encoded[place]), place))
            for start in range(0, len(places), BATCH_SIZE):
                batch = places[start : start + BATCH_SIZE]
                prompts = [encoded[place] for place in batch]
                sampler = RowSampler([requests[place].sampling for place in batch])
                for index, row in decoded_rows(self.lm.model, self.codec, prompts, until, room, sampler):
                    reason: FinishReason = "stop" if row.ended else "length"
                    text = cut_at(self.codec.text(prompts[index], row.tokens), until)
                    yield batch[index], Generation(text, reason, len(prompts[index]), len(row.tokens))

    def close(self) -> None:
        """Drop the model."""
        self._lm = self._codec = None


class RowSampler:
    """Chooses the next token of each row: the likeliest, or drawn with the row's temperature, top_p and seed."""

    def __init__(self, sampling: Sequence[tuple[float, float, int] | None]) -> None:
        self._sampling = sampling
        self._random = [random.Random(row[2] if row else 0) for row in sampling]

    def choose(self, logits_BV: torch.Tensor, places: Sequence[int]) -> torch.Tensor:
        """Return the next tokens, of shape (B, 1), for the rows at ``places``."""
        ids_B1 = logits_BV.argmax(-1, keepdim=True)
        drawn = [index for index, place in enumerate(places) if self._sampling[place] is not None]
        if drawn:
            ids_B1[drawn] = self._draw(logits_BV[drawn], [places[index] for index in drawn])
        return ids_B1

    def _draw(self, logits_BV: torch.Tensor, places: Sequence[int]) -> torch.Tensor:
        """Draw for each row among the likeliest tokens that together have probability ``top_p``."""
        import torch

        rows = [(self._sampling[place] or (1.0, 1.0, 0)) for place in places]
        temperatures_B1 = logits_BV.new_tensor([row[0] for row in rows], dtype=torch.float64)[:, None]
        top_p_B1 = logits_BV.new_tensor([row[1] for row in rows], dtype=torch.float64)[:, None]
        draws_B1 = logits_BV.new_tensor([self._random[place].random() for place in places], dtype=torch.float64)[
            :, None
        ]
        probabilities_BV, order_BV = (logits_BV.double() / temperatures_B1).softmax(-1).sort(descending=True)
        sums_BV = probabilities_BV.cumsum(-1)
        last_B1 = (sums_BV - probabilities_BV < top_p_B1).sum(-1, keepdim=True) - 1
        ranks_B1 = (sums_BV <= draws_B1 * sums_BV.gather(-1, last_B1)).sum(-1, keepdim=True).minimum(last_B1)
        return order_BV.gather(-1, ranks_B1)


def decoded_rows(
    model: PreTrainedModel, codec: Codec, prompts: list[list[int]], until: Sequence[str], room: int, sampler: RowSampler
) -> Iterator[tuple[int, Row]]:
    """Yield each prompt's index and completion, which ends with a stop string, an end token or after ``room`` tokens.

    A finished row leaves the batch, so that a few long answers do not make the others wait.
    """
    import torch
    from transformers import DynamicCache

    ids_BT, mask_BT = _padded(prompts, codec.tokenizer.pad_token_id or 0, model.device)
    positions_BT = (mask_BT.cumsum(-1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config.get_text_config())
    accepted = inspect.signature(model.forward).parameters
    rows = [Row(codec, prompt, until) for prompt in prompts]
    places = list(range(len(prompts)))
    for step in range(room):
        # Models with relative positions (Bloom, MPT) take no position_ids.
        options = {"position_ids": positions_BT, "logits_to_keep": 1}
        options = {name: value for name, value in options.items() if name in accepted}
        with torch.inference_mode():
            logits_BTV = model(
                input_ids=ids_BT, attention_mask=mask_BT, past_key_values=cache, use_cache=True, **options
            ).logits
            ids_BT = sampler.choose(logits_BTV[:, -1], places)
        for place, token in zip(places, ids_BT.flatten().tolist(), strict=True):
            rows[place].add(token)
        done = [step + 1 == room or rows[place].ended for place in places]
        yield from ((place, rows[place]) for place, ended in zip(places, done, strict=True) if ended)
        keep = [index for index, ended in enumerate(done) if not ended]
        if not keep:
            return
        positions_BT = positions_BT[:, -1:] + 1
        if len(keep) < len(places):
            index = torch.tensor(keep, device=ids_BT.device)
            cache.batch_select_indices(index)
            ids_BT, mask_BT, positions_BT = ids_BT[index], mask_BT[index], positions_BT[index]
            places = [places[kept] for kept in keep]
        mask_BT = torch.cat([mask_BT, mask_BT.new_ones(len(places), 1)], dim=1)


def _padded(prompts: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the prompts padded at the left and their attention mask, both of shape (B, T)."""
    import torch

    width = max(map(len, prompts))
    ids_BT = torch.full((len(prompts), width), pad_id)
    mask_BT = torch.zeros_like(ids_BT)
    for place, tokens in enumerate(prompts):
        ids_BT[place, width - len(tokens) :] = torch.tensor(tokens)
        mask_BT[place, width - len(tokens) :] = 1
    return ids_BT.to(device), mask_BT.to(device)


class Row:
    """One completion that is being decoded."""

    def __init__(self, codec: Codec, prompt: Sequence[int], until: Sequence[str]) -> None:
        self.tokens: list[int] = []
        self.ended = False
        """True if an end token or a stop string has come."""
        self._end_ids = codec.end_ids
        self._until = until
        self._longest = max(map(len, until), default=0)
        self._stream = codec.stream(prompt)
        self._tail = ""

    def add(self, token: int) -> None:
        """Append a token."""
        self.tokens.append(token)
        if token in self._end_ids:
            self.ended = True
        elif self._until and (new := self._stream.add(token)):
            self._tail = self._tail[-self._longest :] + new
            self.ended = any(stop in self._tail for stop in self._until)
