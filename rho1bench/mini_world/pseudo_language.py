"""Sentences of an invented language: text that a model can learn and that no test asks for.

One of the noise kinds of `noise.py`. A fixed vocabulary and four rules stand for a page in another language or from
another subject: a noun's class is its last vowel, an adjective takes the class and number of its noun, a verb those of
its subject, and each verb has an adverb of its own. So a part of every sentence can be predicted, and a part cannot.
"""

from __future__ import annotations

from random import Random

_NOUNS: tuple[tuple[str, ...], ...] = (
    ("mir", "tav", "sholun", "gard", "vesp", "kelim", "dorun", "plis"),
    ("nod", "brik", "zalem", "huv", "terin", "wosk", "falt", "yumer"),
    ("pirr", "jask", "lomun", "ched", "sturv", "quil", "rathel", "ombr"),
)
"""Stems of the three classes."""
_CLASS_VOWELS = ("a", "e", "o")
_ADJECTIVES = ("volm", "sint", "greshk", "talv", "hurm", "beld", "nisk", "cravv")
_VERBS = (
    ("drath", "miru"), ("fesk", "olu"), ("glon", "tipu"), ("harv", "senu"), ("kimb", "dalu"), ("wrel", "ipsu"),
)  # fmt: skip
"""Stem of each verb, and the adverb that goes with it."""
_PLURAL = "lin"
_OBJECT_MARK = "be"


def pseudo_language(rng: Random) -> str:
    """A line of one to three sentences."""
    return " ".join(_sentence(rng) for _ in range(rng.randint(1, 3)))


def _sentence(rng: Random) -> str:
    subject, subject_ending = _noun_phrase(rng)
    thing, _ = _noun_phrase(rng)
    verb, adverb = rng.choice(_VERBS)
    words = [*subject, f"{verb}{subject_ending}", adverb, _OBJECT_MARK, *thing]
    return f"{' '.join(words).capitalize()}."


def _noun_phrase(rng: Random) -> tuple[list[str], str]:
    """A noun with or without an adjective, and the ending that agrees with it."""
    noun_class = rng.randrange(len(_NOUNS))
    ending = _CLASS_VOWELS[noun_class] + (_PLURAL if rng.random() < 0.3 else "")
    words = [f"{rng.choice(_NOUNS[noun_class])}{ending}"]
    if rng.random() < 0.6:
        words.append(f"{rng.choice(_ADJECTIVES)}{ending}")
    return words, ending
