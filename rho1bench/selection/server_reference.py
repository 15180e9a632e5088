"""A reference model behind a server: losses from the log-probabilities of its prompts (the paper's appendix C).

Token ids are sent, so nothing is tokenised again; ``echo`` asks for the prompt's own log-probabilities, as vLLM and the
first completion servers give them. No server returns the whole distribution, so there are no entropies. The protocol
does not name the server's tokenizer: it must be the corpus's.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from rho1bench.corpus.packed_corpus import Array, PackedCorpus
from rho1bench.errors import EngineError, ScoreStoreError
from rho1bench.system.openai_client import CompletionsServer


class ServedReference:
    """The model called ``model`` at ``base_url`` as the reference of ``corpus``.

    Raises EngineError if there is no such server or model, or it reads too short a text; ScoreStoreError for a corpus
    with document masking, which a server knows nothing of.
    """

    def __init__(self, base_url: str, model: str, corpus: PackedCorpus) -> None:
        if corpus.document_ids is not None:
            raise ScoreStoreError(
                f"{corpus.folder}: was packed with document_masking, and a server reads each block as one text. Score "
                "it with a checkpoint, or pack it without."
            )
        self._server = CompletionsServer(base_url, "--server", "scoring with a server")
        self._model = self._server.find([model])
        context = self._server.context(model)
        if context is not None and context <= corpus.block_size:
            raise EngineError(
                f"the server at {base_url} reads at most {context} tokens, one of them its own, but the corpus has "
                f"blocks of {corpus.block_size}. Start it with --max-model-len {corpus.block_size + 1} or more."
            )
        self.identity: dict[str, str | bool | None] = {
            "reference": f"{model} at {base_url}",
            "reference_sha256": None,
            "precision": "server",
            "has_entropy": False,
        }

    def scores(self, corpus: PackedCorpus, first: int, last: int, report: Callable[[int], None]) -> Array:
        """Return the losses of blocks ``first`` to ``last``: float16 nats, shape (blocks, T, 2); entropies are NaN."""
        scores = np.full((last - first, corpus.block_size, 2), np.nan, dtype=np.float16)

        def losses(index: int) -> list[float]:
            return self._losses(corpus.block(index).tolist())

        for done, (place, found) in enumerate(self._server.map(losses, range(first, last)), start=1):
            scores[place, 1:, 0] = found
            report(done)
        return scores

    def flops(self, corpus: PackedCorpus) -> None:
        """Return None: the server's model is not known here."""

    def _losses(self, tokens: list[int]) -> list[float]:
        reply = self._server.complete(self._model, tokens, 0, echo=True, logprobs=0)
        logprobs = reply.choices[0].logprobs
        values = [] if logprobs is None else list(logprobs.token_logprobs or [])
        if len(values) != len(tokens) or any(value is None for value in values[1:]):
            raise EngineError(
                f"the server at {self._server.base_url} gives {len(values)} log-probabilities for a prompt of "
                f"{len(tokens)} tokens. A reference needs one for each (echo with logprobs, as vLLM has it)."
            )
        if not all(math.isfinite(value) for value in values[1:]):
            raise EngineError(f"the server at {self._server.base_url} gives a log-probability that is not finite.")
        return [-float(value) for value in values[1:]]

    def close(self) -> None:
        """Close the connections."""
        self._server.close()
