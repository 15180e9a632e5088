"""The transformers engine: lm-eval's ``HFLM`` with batched decoding, left padding, float32; needs no vLLM.

Prompts of like length share a batch, the KV cache is kept, a row that reached a stop string is finished for good.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rho1bench.errors import EngineError
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines import (
    EngineSettings,
    FinishReason,
    Generation,
    Request,
    context_length,
    cpu_threads,
    cut_at,
    fit,
    too_long,
)

if TYPE_CHECKING:
    import torch
    from lm_eval.models.huggingface import HFLM
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BATCH_SIZE = 64
"""Rows decoded together; more would only spill the KV cache out of the processor's cache."""


class HFEngine:
    """See :class:`rho1bench.evaluation.engines.Engine`."""

    name = "hf"
    dtype = "float32"

    def __init__(self, settings: EngineSettings) -> None:
        import torch
        import transformers

        from rho1bench.evaluation.engines.vllm_setup import check_companions

        check_companions()
        self.version = transformers.__version__
        self.boots = 0
        self.settings = settings
        self._lm: HFLM | None = None
        self._device = "cuda" if torch.cuda.is_available() else "cpu"

    @property
    def lm(self) -> HFLM:
        """lm-eval's ``HFLM``."""
        return self._model

    @property
    def _model(self) -> HFLM:
        assert self._lm is not None, "no checkpoint is loaded"
        return self._lm

    def load(self, checkpoint: Checkpoint) -> None:
        """Load the folder's model; a tokenizer without a padding token gets its end token for padding."""
        import torch
        from lm_eval.models.huggingface import HFLM
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        if self._device == "cpu":
            torch.set_num_threads(cpu_threads(checkpoint.folder, self.settings))
        try:
            model = AutoModelForCausalLM.from_pretrained(checkpoint.folder, dtype=torch.float32).eval()
            tokenizer = AutoTokenizer.from_pretrained(checkpoint.folder, padding_side="left")
        except (OSError, ValueError, RuntimeError) as error:
            raise EngineError(f"transformers cannot load {checkpoint.folder}: {error}") from error
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
        self._lm = HFLM(
            model.to(self._device),
            tokenizer=tokenizer,
            max_length=context_length(checkpoint.folder, self.settings),
            batch_size=BATCH_SIZE,
        )
        self.boots += 1

    def stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generation]]:
        """Complete the prompts in batches of like length; a row that is finished is handed out at once."""
        lm = self._model
        encoded = [lm.tok_encode(request.prompt) for request in requests]
        groups: dict[tuple[tuple[str, ...], int], list[int]] = {}
        for place, (tokens, request) in enumerate(zip(encoded, requests, strict=True)):
            room = fit(len(tokens), request.max_gen_toks, lm.max_length)
            if room > 0:
                groups.setdefault((request.until, room), []).append(place)
            else:
                yield place, too_long(len(tokens))
        for (until, room), places in groups.items():
            places.sort(key=lambda place: (-len(encoded[place]), place))
            for start in range(0, len(places), BATCH_SIZE):
                batch = places[start : start + BATCH_SIZE]
                prompts = [encoded[place] for place in batch]
                draws = RowDraws([requests[place].sampling for place in batch])
                for index, row in decoded_rows(lm.model, lm.tokenizer, prompts, until, room, draws):
                    yield batch[index], self._generation(len(prompts[index]), row, until)

    def _generation(self, num_prompt_tokens: int, row: list[int], until: tuple[str, ...]) -> Generation:
        ended = row[-1:] == [self._model.tokenizer.eos_token_id]
        text = self._model.tokenizer.decode(row[:-1] if ended else row, skip_special_tokens=False)
        cut = cut_at(text, until)
        reason: FinishReason = "stop" if ended or len(cut) < len(text) else "length"
        return Generation(cut, reason, num_prompt_tokens, len(row))

    def close(self) -> None:
        """Drop the model."""
        self._lm = None


class RowDraws:
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
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[list[int]],
    until: tuple[str, ...],
    room: int,
    draws: RowDraws,
) -> Iterator[tuple[int, list[int]]]:
    """Yield each prompt's place and continuation up to a stop string, the end token (kept) or ``room`` tokens.

    A finished row leaves the batch, so that a few long answers do not make the others wait.
    """
    import torch
    from transformers import DynamicCache

    width = max(map(len, prompts))
    ids_BT = torch.full((len(prompts), width), tokenizer.pad_token_id or 0)
    mask_BT = torch.zeros_like(ids_BT)
    for place, tokens in enumerate(prompts):
        ids_BT[place, width - len(tokens) :] = torch.tensor(tokens)
        mask_BT[place, width - len(tokens) :] = 1
    ids_BT, mask_BT = ids_BT.to(model.device), mask_BT.to(model.device)
    positions_BT = (mask_BT.cumsum(-1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    rows: list[list[int]] = [[] for _ in prompts]
    places = list(range(len(prompts)))
    ends = _RowEnds(tokenizer, until)
    for step in range(room):
        with torch.inference_mode():
            logits_BTV = model(
                input_ids=ids_BT,
                attention_mask=mask_BT,
                position_ids=positions_BT,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits
            ids_BT = draws.choose(logits_BTV[:, -1], places)
        for place, token in zip(places, ids_BT.flatten().tolist(), strict=True):
            rows[place].append(token)
        done = [step + 1 == room or ended for ended in ends.check([rows[place] for place in places])]
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


class _RowEnds:
    """Tells which rows are finished, looking at no more than their last few tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, until: tuple[str, ...]) -> None:
        self._tokenizer = tokenizer
        self._until = until
        # A token has at least one byte, so a stop string of n bytes spans at most n tokens.
        self._tail = max((len(stop.encode()) for stop in until), default=1)

    def check(self, rows: list[list[int]]) -> list[bool]:
        """Return for each row whether it has just ended."""
        texts = self._tokenizer.batch_decode([row[-self._tail :] for row in rows], skip_special_tokens=False)
        eos = self._tokenizer.eos_token_id
        return [
            row[-1] == eos or any(stop in text for stop in self._until) for row, text in zip(rows, texts, strict=True)
        ]
