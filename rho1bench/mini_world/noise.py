"""Useless text as raw web pages carry it around their content.

`documents.py` mixes these lines into pages of worked problems. Every kind stands for something that crawls of maths
sites hold before they are cleaned; nothing here is aimed at one training method. Kinds differ in what can be learned
of them: all of `boilerplate`, much of `navigation` and `pseudo_language`, some of most kinds, nothing of
`random_string`.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import Literal

from rho1bench.mini_world.lexicon import ADJECTIVES, DAYS, MONTHS, NOUNS, PEOPLE, THINGS, VERBS
from rho1bench.mini_world.pseudo_language import pseudo_language

_LINKS = ("Home", "About", "Forum", "Login", "Help", "Blog", "Shop", "Contact", "FAQ", "Terms", "Privacy", "Search")
_HEX = "0123456789abcdef"
_ID_ALPHABET = string.ascii_letters + string.digits
_ANY_CHARACTER = _ID_ALPHABET + string.punctuation
_NUM_BOILERPLATE_LINES = 48


def _digits(rng: Random, low: int, high: int) -> str:
    return "".join(rng.choice(string.digits) for _ in range(rng.randint(low, high)))


def _token(rng: Random, length: int, alphabet: str = _ID_ALPHABET) -> str:
    return "".join(rng.choice(alphabet) for _ in range(length))


def _date(rng: Random) -> str:
    return f"{rng.choice(MONTHS)} {rng.randint(1, 28)} 20{rng.randint(10, 24)}"


def _user(rng: Random) -> str:
    return f"{rng.choice((*ADJECTIVES, *NOUNS))}_{rng.choice(NOUNS)}{rng.randint(0, 9999)}"


def _sentence(rng: Random) -> str:
    """A grammatical sentence about nothing in particular."""
    who = rng.choice((*PEOPLE, "My neighbour", "Nobody here", "The " + rng.choice(NOUNS)))
    return f"{who} {rng.choice(VERBS)} the {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}"


def navigation(rng: Random) -> str:
    """A menu line or a trail of links."""
    return rng.choice((" | ", " > ", " :: ")).join(rng.sample(_LINKS, rng.randint(4, 7)))


def notice(rng: Random) -> str:
    """A cookie banner, a licence line or a newsletter box."""
    return rng.choice(
        (
            f"We use cookies to improve the {rng.choice(NOUNS)} section. Accept all | Reject | Settings",
            f"(c) 20{rng.randint(10, 24)} {rng.choice(NOUNS)}{rng.choice(NOUNS)}.com All rights reserved. "
            f"v{_digits(rng, 1, 1)}.{_digits(rng, 1, 3)}",
            f"Sign up for our {rng.choice(NOUNS)} newsletter! {_digits(rng, 3, 6)} readers already did.",
        )
    )


def byline(rng: Random) -> str:
    """Who posted, when, and under which number."""
    return f"#{_digits(rng, 5, 8)} by {_user(rng)} on {_date(rng)}, {rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"


def url(rng: Random) -> str:
    """An address with a session or content hash."""
    site = f"{rng.choice(ADJECTIVES)}{rng.choice(NOUNS)}"
    return f"http://{site}.com/{rng.choice(NOUNS)}/{_token(rng, rng.randint(8, 14))}?id={_digits(rng, 4, 7)}"


def counters(rng: Random) -> str:
    """Shares, likes, views and ratings."""
    views, likes, shares, score = _digits(rng, 2, 6), _digits(rng, 1, 4), _digits(rng, 1, 4), _digits(rng, 1, 3)
    return f"Views: {views} Likes: {likes} Shares: {shares} Score: {score}"


def advertisement(rng: Random) -> str:
    """Copy for something unrelated."""
    noun, other = rng.sample(NOUNS, 2)
    return rng.choice(
        (
            f"BUY a {rng.choice(ADJECTIVES)} {noun} now! Only ${_digits(rng, 2, 3)}.{_digits(rng, 2, 2)}, "
            f"code {_token(rng, 6).upper()}",
            f"Best {noun} deals in {rng.choice(MONTHS)}: {rng.choice(ADJECTIVES)} {other} "
            f"{_digits(rng, 2, 2)}% off, call 0{_digits(rng, 7, 9)}",
        )
    )


def chatter(rng: Random) -> str:
    """Forum talk that quotes someone and says little."""
    end = rng.choice(("lol", "thanks", "+1", "same here", "any news?", "bump", "can someone help", "solved"))
    return f"@{_user(rng)} {_sentence(rng).lower()}, {end}"


def off_topic(rng: Random) -> str:
    """One to three sentences from another subject, the last one cut off."""
    text = ". ".join(_sentence(rng) for _ in range(rng.randint(1, 3)))
    return text[: len(text) - rng.randint(0, 6)] + "..."


def scan_error(rng: Random) -> str:
    """A line that a scanner misread: letters swapped, dropped and broken."""
    things = rng.choice(THINGS)
    name = rng.choice(PEOPLE)
    line = f"{name} has {_digits(rng, 1, 2)} {things}. {_sentence(rng)} on {rng.choice(DAYS)}."
    return "".join(_misread(char, rng) for char in line)


def _misread(char: str, rng: Random) -> str:
    if rng.random() > 0.3:
        return char
    return rng.choice(
        ("", rng.choice(string.ascii_lowercase), rng.choice("~^*|'.,;:!"), rng.choice(string.digits), char * 2)
    )


def log_line(rng: Random) -> str:
    """A server log line, a stack frame or a stray piece of page source."""
    return rng.choice(
        (
            f"20{rng.randint(10, 24)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d} ERROR "
            f"{rng.choice(NOUNS)}[{_digits(rng, 3, 5)}]: 0x{_token(rng, 8, _HEX)}",
            f'<div id="{rng.choice(NOUNS)}-{_token(rng, 6, _HEX)}" style="width:{_digits(rng, 2, 3)}px">',
            f"at {rng.choice(NOUNS)}.js:{_digits(rng, 2, 4)} {rng.choice(VERBS)}_{rng.choice(NOUNS)}({_token(rng, 5)})",
        )
    )


def key_block(rng: Random) -> str:
    """A checksum, tracking token or piece of an embedded attachment."""
    return rng.choice(
        (
            f"sha1 {_token(rng, 24, _HEX)}",
            f"session={_token(rng, 20)}",
            f"data:image/png;base64,{_token(rng, rng.randint(24, 40))}",
        )
    )


def link_list(rng: Random) -> str:
    """Links to other pages of the site, each with its title and address."""
    titles = [f"{rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}" for _ in range(rng.randint(2, 4))]
    return " ".join(f"[{title}](/{title.replace(' ', '-')}.html)" for title in titles)


def random_string(rng: Random) -> str:
    """Characters without any order: nothing of it can be learned."""
    return _token(rng, rng.randint(24, 72), _ANY_CHARACTER)


def boilerplate(rng: Random) -> str:
    """One of a few lines that are the same, word for word, on every page of every site."""
    return rng.choice(_boilerplate_lines())


@cache
def _boilerplate_lines() -> tuple[str, ...]:
    rng = Random("boilerplate")
    makers = (navigation, notice, advertisement, off_topic)
    return tuple(makers[number % len(makers)](rng) for number in range(_NUM_BOILERPLATE_LINES))


NoiseKind = Literal[
    "navigation", "notice", "byline", "url", "counters", "advertisement", "chatter", "off_topic", "scan_error",
    "log_line", "key_block", "link_list", "random_string", "boilerplate", "pseudo_language",
]  # fmt: skip

# kind -> (maker, weight). The weights say how often a kind is drawn as a line of its own, beside the kinds it is with.
NOISE_KINDS: dict[NoiseKind, tuple[Callable[[Random], str], float]] = {
    "navigation": (navigation, 1.0),
    "notice": (notice, 0.7),
    "byline": (byline, 1.5),
    "url": (url, 1.0),
    "counters": (counters, 1.0),
    "advertisement": (advertisement, 1.0),
    "chatter": (chatter, 1.5),
    "off_topic": (off_topic, 1.2),
    "scan_error": (scan_error, 0.8),
    "log_line": (log_line, 0.7),
    "key_block": (key_block, 0.6),
    "link_list": (link_list, 1.0),
    "random_string": (random_string, 1.0),
    "boilerplate": (boilerplate, 1.0),
    "pseudo_language": (pseudo_language, 1.0),
}

WEB_MIXTURE: tuple[NoiseKind, ...] = tuple(NOISE_KINDS)[:11]
"""The kinds of a page that names none: `navigation` to `key_block`."""


def noise_line(rng: Random, kinds: Sequence[NoiseKind] = WEB_MIXTURE) -> tuple[NoiseKind, str]:
    """One line of noise of one of `kinds`, drawn by their weights, as (kind, text without line end)."""
    kind = rng.choices(kinds, [NOISE_KINDS[name][1] for name in kinds])[0]
    return kind, NOISE_KINDS[kind][0](rng)
