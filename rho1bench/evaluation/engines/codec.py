"""From prompts to token ids and from token ids to the text of a completion: the same for every engine in this process.

A completion is decoded after its prompt, as it reads there. Decoded alone, it would lose its first space with the
tokenizers that mark the start of a word (Llama-2, Mistral, T5), and a program its indentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rho1bench.errors import CheckpointError
from rho1bench.evaluation.checkpoint_settings import end_token_ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase


class Codec:
    """The tokenizer of a checkpoint.

    Raises:
        CheckpointError: transformers cannot load the tokenizer.
    """

    def __init__(self, folder: Path) -> None:
        self.tokenizer = _load(folder)
        self.has_padding = self.tokenizer.pad_token_id is not None
        """False if the tokenizer has no padding token, so that its end token (or token 0) stands for it."""
        if not self.has_padding:
            self.tokenizer.pad_token = self.tokenizer.eos_token or self.tokenizer.convert_ids_to_tokens(0)
        self.end_ids = end_token_ids(folder, self.tokenizer.eos_token_id)
        """Tokens that end a completion and do not belong to its text."""
        self.prefix_id = _prefix_id(self.tokenizer)
        """What stands for an empty context in log-likelihoods."""
        self._start = self.tokenizer.bos_token or self.tokenizer.eos_token

    def encode(self, prompt: str) -> list[int]:
        """Return the ids of a prompt, with the start token unless the prompt spells it itself (as lm-eval does).

        An end token that the tokenizer adds to every text (T5's, or ``add_eos_token``) is left out: a prompt goes on.
        """
        spelled = bool(self._start) and prompt.startswith(self._start)
        ids: list[int] = self.tokenizer.encode(prompt, add_special_tokens=not spelled)
        end = self.tokenizer.eos_token
        added = end is not None and ids[-1:] == [self.tokenizer.eos_token_id] and not prompt.endswith(end)
        return ids[:-1] if added and len(ids) > 1 else ids

    def text(self, prompt_ids: Sequence[int], tokens: Sequence[int]) -> str:
        """Return the text of a completion, without the end token or the incomplete character that it may close with."""
        kept = tokens[:-1] if tokens and tokens[-1] in self.end_ids else tokens
        whole = self.decode([*prompt_ids, *kept])
        return whole[len(self.decode(prompt_ids)) :].rstrip("\N{REPLACEMENT CHARACTER}")

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ``ids``, special tokens included."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def stream(self, prompt_ids: Sequence[int]) -> TokenStream:
        """Return what turns the tokens after ``prompt_ids`` into text one by one, to find stop strings in."""
        tokenizer = getattr(self.tokenizer, "backend_tokenizer", None)
        return _SlowStream(self, prompt_ids) if tokenizer is None else _FastStream(tokenizer, prompt_ids)


class TokenStream(Protocol):
    """Text of a completion, token by token."""

    def add(self, token: int) -> str:
        """Return the text that ``token`` completes; none while a character is incomplete."""


class _FastStream:
    """The streaming decoder of ``tokenizers``, which vLLM uses as well."""

    def __init__(self, tokenizer: Tokenizer, prompt_ids: Sequence[int]) -> None:
        from tokenizers.decoders import DecodeStream

        self._tokenizer = tokenizer
        self._stream = DecodeStream(ids=list(prompt_ids), skip_special_tokens=False)

    def add(self, token: int) -> str:
        """See :class:`TokenStream`."""
        from tokenizers.decoders import DecodeStream

        try:
            new = self._stream.step(self._tokenizer, token)
        except Exception as error:
            # Bytes that are no UTF-8 can shorten the text decoded so far; like vLLM, start the decoder again.
            if "Invalid prefix" not in str(error):
                raise
            self._stream = DecodeStream(skip_special_tokens=False)
            new = self._stream.step(self._tokenizer, token)
        return new or ""


class _SlowStream:
    """For tokenizers that are not made with ``tokenizers``: the whole completion is decoded at every token."""

    def __init__(self, codec: Codec, prompt_ids: Sequence[int]) -> None:
        self._codec = codec
        self._prompt_ids = prompt_ids
        self._tokens: list[int] = []
        self._length = 0

    def add(self, token: int) -> str:
        """See :class:`TokenStream`."""
        self._tokens.append(token)
        text = self._codec.text(self._prompt_ids, self._tokens)
        new, self._length = text[self._length :], max(self._length, len(text))
        return new


def _load(folder: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, padding_side="left", trust_remote_code=False)
    except Exception as error:  # tokenizers raises bare Exception for a file that it cannot read
        raise CheckpointError(f"{folder}: the tokenizer cannot be loaded ({error})") from error


def _prefix_id(tokenizer: PreTrainedTokenizerBase) -> int:
    names = ("bos", "eos", "cls", "pad", "unk")
    found = (getattr(tokenizer, f"{name}_token_id", None) for name in names)
    return next((int(token) for token in found if token is not None), 0)
