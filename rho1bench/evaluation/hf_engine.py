"""The transformers engine: lm-eval's ``HFLM`` with batched greedy decoding, left padding, float32; needs no vLLM.

Prompts of like length share a batch, the KV cache is kept, a row that reached a stop string is finished for good.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rho1bench.errors import EngineError
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines import EngineSettings, Generation, Request, Tick, cpu_threads, fit, too_long


class HFEngine:
    """See :class:`rho1bench.evaluation.engines.Engine`."""

    name = "hf"
    dtype = "float32"

    def __init__(self, settings: EngineSettings) -> None:
        import torch
        import transformers

        from rho1bench.evaluation.vllm_setup import check_mates

        check_mates()
        self.version = transformers.__version__
        self.boots = 0
        self._settings = settings
        self._lm: Any = None
        self._device = "cuda" if torch.cuda.is_available() else "cpu"

    @property
    def lm(self) -> Any:
        """lm-eval's ``HFLM``."""
        return self._lm

    def load(self, checkpoint: Checkpoint) -> None:
        """Load the folder's model; a tokenizer without a padding token gets its end token for padding."""
        import torch
        from lm_eval.models.huggingface import HFLM
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        if self._device == "cpu":
            torch.set_num_threads(cpu_threads(checkpoint.folder, self._settings))
        try:
            model = AutoModelForCausalLM.from_pretrained(checkpoint.folder, dtype=torch.float32).eval()
            tokenizer = AutoTokenizer.from_pretrained(checkpoint.folder, padding_side="left")
        except (OSError, ValueError, RuntimeError) as error:
            raise EngineError(f"transformers cannot load {checkpoint.folder}: {error}") from error
        limit = getattr(model.config, "max_position_embeddings", None) or self._settings.max_model_len
        self._lm = HFLM(
            model.to(self._device),
            tokenizer=tokenizer,
            max_length=min(limit, self._settings.max_model_len),
            batch_size=min(self._settings.batch_size, 64),
        )
        self.boots += 1

    def complete(self, requests: Sequence[Request], tick: Tick) -> list[Generation]:
        """Complete the prompts in batches of like length."""
        encoded = [self._lm.tok_encode(request.prompt) for request in requests]
        results = [too_long(len(tokens)) for tokens in encoded]
        groups: dict[tuple[tuple[str, ...], int], list[int]] = {}
        for place, (tokens, request) in enumerate(zip(encoded, requests, strict=True)):
            room = fit(len(tokens), request.max_gen_toks, self._lm.max_length)
            if room > 0:
                groups.setdefault((request.until, room), []).append(place)
            else:
                tick(1)
        for (until, room), places in groups.items():
            places.sort(key=lambda place: (-len(encoded[place]), place))
            for start in range(0, len(places), self._settings.batch_size):
                batch = places[start : start + self._settings.batch_size]
                generations = self._batch([encoded[place] for place in batch], until, room)
                for place, generation in zip(batch, generations, strict=True):
                    results[place] = generation
                tick(len(batch))
        return results

    def _batch(self, prompts: list[list[int]], until: tuple[str, ...], room: int) -> list[Generation]:
        import torch

        width = max(map(len, prompts))
        tokenizer = self._lm.tokenizer
        ids_BT = torch.full((len(prompts), width), tokenizer.pad_token_id, device=self._device)
        mask_BT = torch.zeros_like(ids_BT)
        for row, tokens in enumerate(prompts):
            ids_BT[row, width - len(tokens) :] = torch.tensor(tokens)
            mask_BT[row, width - len(tokens) :] = 1
        with torch.inference_mode():
            output_BT = self._lm.model.generate(
                input_ids=ids_BT,
                attention_mask=mask_BT,
                max_new_tokens=room,
                do_sample=False,
                use_cache=True,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
                stopping_criteria=[_row_stopper(tokenizer, until, width)],
            )
        rows = output_BT[:, width:].tolist()
        return [self._generation(len(prompt), row, until) for prompt, row in zip(prompts, rows, strict=True)]

    def _generation(self, num_prompt_tokens: int, row: list[int], until: tuple[str, ...]) -> Generation:
        tokenizer = self._lm.tokenizer
        ended = tokenizer.eos_token_id in row
        if ended:
            row = row[: row.index(tokenizer.eos_token_id)]
        text = tokenizer.decode(row, skip_special_tokens=False)
        cuts = [text.index(stop) for stop in until if stop in text]
        stopped = ended or bool(cuts)
        if cuts:
            text = text[: min(cuts)]
            row = [token for token in row if token != tokenizer.pad_token_id]
        return Generation(text, "stop" if stopped else "length", num_prompt_tokens, len(row) + ended)

    def close(self) -> None:
        """Drop the model."""
        self._lm = None


def _row_stopper(tokenizer: Any, until: tuple[str, ...], width: int) -> Any:
    """Return a stopping criterion that ends each row by itself when its tail shows a stop string."""
    import torch
    from transformers import StoppingCriteria

    # A token has at least one byte, so a stop string of n bytes spans at most n tokens.
    tail = max((len(stop.encode()) for stop in until), default=1)

    class RowStopper(StoppingCriteria):  # type: ignore[misc]
        def __init__(self) -> None:
            self._done: Any = None

        def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
            if self._done is None:
                self._done = torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
            places = (~self._done).nonzero().flatten()
            tails = input_ids[places, max(width, input_ids.shape[1] - tail) :]
            for place, text in zip(places.tolist(), tokenizer.batch_decode(tails), strict=True):
                if any(stop in text for stop in until):
                    self._done[place] = True
            return self._done

    return RowStopper()
