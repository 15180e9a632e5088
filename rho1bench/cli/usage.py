"""What the command line says where its arguments do not fit: the parser's words, and what to do."""

from __future__ import annotations

import os
import re

_EXTRA = re.compile(r"Got unexpected extra argument(?:s|\(s\))? \((.*)\)", re.DOTALL)


def usage_message(message: str) -> str:
    """Return one message for what the parser of the command line says, its next step included."""
    extra = _EXTRA.match(message)
    names = extra[1].split() if extra else []
    if names and all(map(os.path.exists, names)):
        many = f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]
        return (
            f"one name was expected, and {many} came after it. Put a pattern in quotes, so that the shell leaves it "
            'alone ("texts/*.txt"), or repeat the option.'
        )
    message = message.replace("Value error, ", "")
    stop = "" if message.endswith("?") else "."
    return f"{message.rstrip('.')}{stop} `rho1bench --help` lists commands and options."
