"""The bytes that tokens stand for add up to the text, whatever the kind of tokenizer."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers

from rho1bench import mini_world
from rho1bench.corpus.token_bytes import token_bytes, token_pieces
from rho1bench.corpus.tokenizer import train_tokenizer

TEXT = "Question: 3 \N{MULTIPLICATION SIGN} 4?\nAnswer: \N{EURO SIGN}12 \N{GRINNING FACE}.\n"


def byte_level() -> Tokenizer:
    return train_tokenizer((one.text for one in mini_world.clean_documents(40, 0)), 400)


def sentencepiece() -> Tokenizer:
    """Llama-2's kind: blanks as U+2581, and a byte token for what has no piece."""
    blank = "\N{LOWER ONE EIGHTH BLOCK}"
    pieces = ["<s>", *(f"<0x{byte:02X}>" for byte in range(256)), blank, *sorted(set("Question:Answer.3412?")), "st"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("s", "t")], byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", blank)
    tokenizer.decoder = decoders.Sequence([decoders.Replace(blank, " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(["<s>"])
    return tokenizer


@pytest.mark.parametrize("make", [byte_level, sentencepiece])
def test_the_bytes_of_tokens_are_those_of_the_text(make: object) -> None:
    tokenizer = make()  # type: ignore[operator]
    tokens = tokenizer.encode(TEXT, add_special_tokens=False).ids
    assert tokenizer.decode(tokens) == TEXT
    lengths = token_bytes(tokenizer)
    assert len(lengths) == tokenizer.get_vocab_size()
    assert int(lengths[tokens].sum()) == len(TEXT.encode())
    pieces = token_pieces(tokenizer)
    assert b"".join(pieces[token] for token in tokens) == TEXT.encode()
    special = [token for token, added in tokenizer.get_added_tokens_decoder().items() if added.special]
    assert special
    assert not lengths[special].any()
