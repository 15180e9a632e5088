"""A checkpoint's own chat template, which lm-eval asks for where prompts are turns of a chat."""

from __future__ import annotations

from pathlib import Path

from rho1bench.errors import CheckpointError
from rho1bench.evaluation.engines.codec import Codec
from rho1bench.system.files import sha256_json


class ChatTemplate:
    """The template in a checkpoint's ``folder``; raises CheckpointError where its tokenizer has none."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = Codec(folder).tokenizer
        if not self._tokenizer.chat_template:
            raise CheckpointError(
                f"{folder}: the tokenizer has no chat template (chat_template.jinja, or a key of "
                "tokenizer_config.json). Evaluate a base model without --chat-template."
            )

    @property
    def sha256(self) -> str:
        """Hash of the template's text."""
        return sha256_json(self._tokenizer.chat_template)

    def render(self, turns: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Return the prompt of a chat: the model's turn begins, or (False) its last turn goes on."""
        return str(
            self._tokenizer.apply_chat_template(
                turns,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )
        )
