r"""Finding the answer inside a completion, by the paper's rules (appendix E).

Stands between generation and :mod:`rho1bench.grading.paper.equality`. The first finder that recognises the completion
wins: Minerva's closing sentence, the last ``\boxed``, the last "he answer is", the last "final answer is", the last
number. Multiple-choice tasks only know the first "answer is (X)".
"""

from __future__ import annotations

import re
from collections.abc import Callable

from rho1bench.grading.paper.normal_form import normalise
from rho1bench.paper.protocol import CHOICE_TASKS

NO_CHOICE = "placeholder"
"""What the protocol records when a multiple-choice completion names no option."""

_NOTHING = ("", "error")
_CHOICE = re.compile(r"answer is \(?([a-e])")
_NUMBER = re.compile(r"-?\d*\.?\d+")
_MINERVA_OPENING, _MINERVA_CLOSING = "final answer is $", "$. I hope"


def extract_answer(completion: str, task: str) -> str:
    """Return the answer stated in ``completion``, normalised; ``""`` (or ``NO_CHOICE``) where there is none.

    ``task`` is the paper's name of the data set (``gsm8k``, ``math``, ``mathqa`` ...).
    """
    if is_empty(completion):
        return ""
    if task in CHOICE_TASKS:
        return _chosen_option(completion)
    return normalise(normalise(_trim(_find(completion))))


def is_empty(completion: str) -> bool:
    """Tell whether the protocol takes a completion for none at all (empty, or the one word ``error``)."""
    return completion in _NOTHING


def has_answer(pred: str, task: str) -> bool:
    """Tell whether ``pred``, as :func:`extract_answer` gave it, is an answer at all."""
    return pred != "" and not (pred == NO_CHOICE and task in CHOICE_TASKS)


def _chosen_option(completion: str) -> str:
    own_problem = completion.partition("Problem:")[0]
    stated = _CHOICE.search(own_problem.replace("choice is", "answer is").lower())
    return stated.group(1).upper() if stated else NO_CHOICE


def _find(completion: str) -> str:
    for finder in _FINDERS:
        found = finder(completion)
        if found is not None:
            return found
    return ""


def _minerva_sentence(completion: str) -> str | None:
    if _MINERVA_CLOSING not in completion:
        return None
    _, opening, rest = completion.partition(_MINERVA_OPENING)
    return rest.partition(_MINERVA_CLOSING)[0].strip() if opening else None


def _last_box(completion: str) -> str | None:
    _, mark, rest = completion.rpartition("boxed")
    if not mark:
        return None
    return _braced(rest) if rest.startswith("{") else rest.partition("$")[0].strip()


def _braced(text: str) -> str:
    """Return what stands between the brace that opens ``text`` and its partner, or everything if it has none."""
    depth = 0
    for place, char in enumerate(text):
        depth += (char == "{") - (char == "}")
        if depth == 0:
            return text[1:place]
    return text[1:]


def _after_last(phrase: str) -> Callable[[str], str | None]:
    def finder(completion: str) -> str | None:
        _, mark, rest = completion.rpartition(phrase)
        return rest.strip() if mark else None

    return finder


def _last_number(completion: str) -> str | None:
    numbers = _NUMBER.findall(completion.replace(",", ""))
    return numbers[-1] if numbers else None


_FINDERS: tuple[Callable[[str], str | None], ...] = (
    _minerva_sentence,
    _last_box,
    _after_last("he answer is"),
    _after_last("final answer is"),
    _last_number,
)


def _trim(found: str) -> str:
    """Join lines and drop a leading colon, then one closing full stop, then one closing slash."""
    joined = re.sub(r"\n\s*", "", found).removeprefix(":")
    return joined.removesuffix(".").removesuffix("/")
