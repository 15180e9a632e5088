"""How pages are filled in: jinja2 with every value escaped, for HTML or for Markdown.

A folder's environment is made once, as it holds the compiled templates.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_SPECIAL = re.compile(r"[\\`*|\[\]~]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def escape_markdown(value: object) -> object:
    """Make text plain in Markdown: nothing of it becomes a table cell, a link, emphasis or HTML; Markup stays."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    text = " ".join(value.split()).translate(_ENTITIES)
    return Markup(_SPECIAL.sub(r"\\\g<0>", text))


SHARED = Path(__file__).parent / "shared"
"""Style and macros of all pages with figures."""


def page_style() -> str:
    """Return the style of pages with figures."""
    return (SHARED / "page.css").read_text(encoding="utf-8")


@cache
def html_environment(*folders: Path) -> Environment:
    """Return the environment of the HTML templates in ``folders``."""
    return _environment(*folders)


@cache
def markdown_environment(folder: Path) -> Environment:
    """Return the environment of the Markdown templates in ``folder``; values go through :func:`escape_markdown`."""
    return _environment(folder, finalize=escape_markdown)


def content_policy(style: str, script: str, *, loads_scripts: bool = False) -> str:
    """Return a page's Content-Security-Policy: its own style and script take effect, by their hashes, and nothing else.

    ``loads_scripts``: what that script loads may run, too.
    """
    further = " 'strict-dynamic'" if loads_scripts else ""
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'{further}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _environment(*folders: Path, **settings: Any) -> Environment:
    return Environment(
        loader=FileSystemLoader([*folders, SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **settings,
    )
