"""Log-likelihoods through a server: lm-eval's own splitting of context and continuation, the server's ``echo``.

Multiple-choice tasks need the log-probability of given tokens. vLLM and some others return it (``echo`` with
``logprobs``); the tokenizer must be on this machine, since the protocol has no token ids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from rho1bench.errors import EngineError
from rho1bench.evaluation.engines.codec import Codec
from rho1bench.evaluation.harness.lm_eval_model import TokenScoringLM
from rho1bench.evaluation.harness.lm_eval_types import EncodedPair

if TYPE_CHECKING:
    from openai.types import CompletionChoice


class ServedLM(TokenScoringLM):
    """lm-eval's view of the server's model; ``echo(tokens)`` returns a prompt with its log-probabilities."""

    def __init__(
        self, echo: Callable[[list[int]], CompletionChoice], tokenizer_folder: Path, max_length: int, concurrency: int
    ) -> None:
        super().__init__()
        if not (tokenizer_folder / "config.json").is_file():
            raise EngineError(
                "multiple-choice tasks through a server need the model's tokenizer here: give the checkpoint's folder "
                "as CHECKPOINT and the server's name for it with --model, or use another engine"
            )
        self.max_length = max_length
        self._echo = echo
        self._codec = Codec(tokenizer_folder)
        self._concurrency = concurrency

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text, or what stands for it."""
        end = self._codec.tokenizer.eos_token_id
        return self._codec.prefix_id if end is None else int(end)

    @property
    def prefix_token_id(self) -> int:
        """The token that stands for an empty context."""
        return self._codec.prefix_id

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: object) -> list[int]:
        """Tokenize as lm-eval's other models do."""
        if add_special_tokens is None:
            return self._codec.encode(string)
        ids: list[int] = self._codec.tokenizer.encode(string, add_special_tokens=add_special_tokens)
        return ids

    def score_tokens(self, pairs: Sequence[EncodedPair]) -> list[tuple[float, bool]]:
        """Request the log-probabilities of many pairs at a time."""
        with ThreadPoolExecutor(self._concurrency) as pool:
            return list(pool.map(lambda pair: self._score(pair[1], pair[2]), pairs))

    def _score(self, context: list[int], continuation: list[int]) -> tuple[float, bool]:
        tokens = (context + continuation)[-(self.max_length - 1) :]
        found = self._echo(tokens).logprobs
        if found is None or len(found.token_logprobs or []) < len(tokens):
            raise EngineError(
                "this server gives no log-probabilities of a prompt (echo with logprobs), which multiple-choice tasks "
                "need; use --engine vllm or hf for them"
            )
        first, last = len(tokens) - len(continuation), len(tokens)
        values = (found.token_logprobs or [])[first:last]
        best = [max(top.values()) for top in (found.top_logprobs or [])[first:last]]
        return float(sum(values)), all(value >= top for value, top in zip(values, best, strict=True))
