"""The two corpora of the mini world: curated text for the reference model, raw web pages for pretraining.

Both show train-side problems in the prompt format of the evaluation. A web page carries the same kind of text between
menus, bylines, advertisements and the like (`noise.py`), and sometimes a digit of a solution is copied wrongly.
Every document says which characters are what, so that a run can measure how much noise a selection keeps (figure 13).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from rho1bench.mini_world.coverage import EVERYTHING, Coverage
from rho1bench.mini_world.noise import NOISE_KINDS, WEB_MIXTURE, NoiseKind, noise_line
from rho1bench.mini_world.problem import EXEMPLAR_SEPARATOR, cot_text, question_prompt
from rho1bench.mini_world.problems import MATH_TASKS, draw_problem

Span = tuple[int, int, str]

MATH_KIND = "math"
WRONG_NUMBER_KIND = "wrong_number"


@dataclass(frozen=True)
class Document:
    """A training document. `spans` are (start, end, kind) in characters, in order, without gap or overlap."""

    doc_id: str
    text: str
    spans: tuple[Span, ...]

    def share(self, kind: str = MATH_KIND) -> float:
        """The share of characters of `kind`, 0 for an empty document."""
        marked = sum(end - start for start, end, span_kind in self.spans if span_kind == kind)
        return marked / len(self.text) if self.text else 0.0


def clean_documents(num: int, seed: int, offset: int = 0, *, coverage: Coverage = EVERYTHING) -> list[Document]:
    """`num` curated documents: two to four worked problems of one task each, nothing else.

    Document i of a seed's stream is the same whatever `num` and `offset` are; `offset` skips the first ones.
    coverage: which of the world's problems they show. Raises ValueError where it leaves a task none.
    """
    return [_clean_document(index, seed, coverage) for index in range(offset, offset + num)]


def web_documents(
    num: int,
    seed: int,
    offset: int = 0,
    *,
    noise_share: float = 0.5,
    wrong_share: float = 0.05,
    noise_kinds: Sequence[NoiseKind] = WEB_MIXTURE,
) -> list[Document]:
    """`num` web pages of worked problems among noise lines; `offset` as in `clean_documents`.

    noise_share: expected share of characters that are noise, in [0, 1). wrong_share: share of solutions in which one
    digit was copied wrongly, in [0, 1]. noise_kinds: what the noise is made of, in any order. A page has the same
    problems whatever its noise is. Raises ValueError outside these ranges.
    """
    if not 0.0 <= noise_share < 1.0:
        raise ValueError(f"noise_share must be in [0, 1), got {noise_share}")
    if not 0.0 <= wrong_share <= 1.0:
        raise ValueError(f"wrong_share must be in [0, 1], got {wrong_share}")
    if not noise_kinds or not set(noise_kinds) <= set(NOISE_KINDS):
        raise ValueError(f"noise_kinds must be some of {', '.join(NOISE_KINDS)}, got {list(noise_kinds)}")
    kinds = [kind for kind in NOISE_KINDS if kind in noise_kinds]
    return [_web_document(index, seed, noise_share, wrong_share, kinds) for index in range(offset, offset + num)]


def _clean_document(index: int, seed: int, coverage: Coverage) -> Document:
    rng = Random(f"clean/{seed}/{index}")
    task = rng.choice(coverage.covered_tasks)
    problems = [coverage.draw(task, rng) for _ in range(rng.randint(2, 4))]
    text = EXEMPLAR_SEPARATOR.join(cot_text(problem) for problem in problems)
    return Document(f"clean-{seed}-{index}", text, ((0, len(text), MATH_KIND),))


def _web_document(
    index: int, seed: int, noise_share: float, wrong_share: float, noise_kinds: Sequence[NoiseKind]
) -> Document:
    rng = Random(f"web/{seed}/{index}")
    task = rng.choice(MATH_TASKS)
    passages = [_passage(task, rng, wrong_share) for _ in range(rng.randint(2, 4))]
    num_math = sum(len(text) for passage in passages for text, _ in passage)
    lines = _noise_lines(rng, num_math, noise_share, noise_kinds)
    slots: list[list[tuple[str, str]]] = [[] for _ in range(len(passages) + 1)]
    for line in lines:
        slots[rng.randrange(len(slots))].append(line)
    pieces = [(text + "\n", kind) for kind, text in slots[0]]
    for passage, after in zip(passages, slots[1:], strict=True):
        pieces += [*passage, (EXEMPLAR_SEPARATOR, MATH_KIND)]
        pieces += [(text + "\n", kind) for kind, text in after]
    return _assembled(f"web-{seed}-{index}", pieces)


def _noise_lines(
    rng: Random, num_math: int, noise_share: float, noise_kinds: Sequence[NoiseKind]
) -> list[tuple[str, str]]:
    """Noise lines that together come as near as they can to the wanted share of the page."""
    wanted = num_math * noise_share / (1.0 - noise_share)
    lines: list[tuple[str, str]] = []
    length = 0
    while length < wanted:
        kind, text = noise_line(rng, noise_kinds)
        # The last line is kept with the probability that makes the expected length right.
        if length + len(text) > wanted and rng.random() > (wanted - length) / (len(text) + 1):
            break
        lines.append((kind, text))
        length += len(text) + 1
    return lines


def _passage(task: str, rng: Random, wrong_share: float) -> list[tuple[str, str]]:
    """A worked problem as (text, kind) pieces, at times with one digit of its solution wrong."""
    problem = draw_problem(task, "train", rng)
    if rng.random() >= wrong_share:
        return [(cot_text(problem), MATH_KIND)]
    prompt, solution = question_prompt(problem) + " ", problem.solution
    places = [place for place, char in enumerate(solution) if char.isdigit()]
    if not places:
        return [(prompt + solution, MATH_KIND)]
    place = rng.choice(places)
    wrong = rng.choice([digit for digit in "0123456789" if digit != solution[place]])
    return [
        (prompt + solution[:place], MATH_KIND),
        (wrong, WRONG_NUMBER_KIND),
        (solution[place + 1 :], MATH_KIND),
    ]


def _assembled(doc_id: str, pieces: list[tuple[str, str]]) -> Document:
    spans: list[Span] = []
    start = 0
    for text, kind in pieces:
        if not text:
            continue
        end = start + len(text)
        if spans and spans[-1][2] == kind:
            start = spans.pop()[0]
        spans.append((start, end, kind))
        start = end
    return Document(doc_id, "".join(text for text, _ in pieces), tuple(spans))
