from __future__ import annotations

from pathlib import Path

import pytest

from rho1bench.corpus.tokenizer import train_tokenizer, write_tokenizer


@pytest.fixture(scope="session")
def word_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small trained tokenizer in ``tokenizer/``."""
    folder = tmp_path_factory.mktemp("word_tokenizer")
    words = [f"word{number} menu about {number}+{number}" for number in range(300)]
    write_tokenizer(train_tokenizer(iter(words), 268), folder / "tokenizer")
    return folder
