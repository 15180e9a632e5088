"""Documents and SFT samples: spans, noise share, streams, and no test question in any training text."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rho1bench.mini_world import (
    MATH_KIND,
    MATH_TASKS,
    NOISE_KINDS,
    TOOL_TASKS,
    WEB_MIXTURE,
    WRONG_NUMBER_KIND,
    Document,
    NoiseKind,
    clean_documents,
    make_problems,
    sft_samples,
    split_of,
    web_documents,
)
from rho1bench.mini_world.problem import canonical_key

seeds = st.integers(min_value=0, max_value=10_000)
QUESTION = re.compile(
    r"Question: (.+?)\nAnswer:|Problem:\n(.+?)\nSolution:|<\|user\|>\n(.+?)\n<\|assistant\|>", flags=re.DOTALL
)
OPTIONS = re.compile(r"\n\(A\) .*$| Options: A\) .*$")
# The sizes and offsets that the quickstart trains on, and the test rows of an evaluation.
SHIPPED_CLEAN, SHIPPED_WEB, SHIPPED_SFT = 11_500, (6_300, 1_200, 50_000), (1_500, 500)
TEST_SEED, TEST_ROWS = 2404, 120


def _check_spans(document: Document) -> None:
    assert document.spans[0][0] == 0
    assert document.spans[-1][1] == len(document.text)
    for (start, end, kind), following in zip(document.spans, [*document.spans[1:], None], strict=True):
        assert start < end
        assert following is None or (following[0] == end and following[2] != kind)


@given(seed=seeds, noise_share=st.floats(0.0, 0.9), wrong_share=st.floats(0.0, 1.0))
def test_spans_cover_the_text_exactly(seed: int, noise_share: float, wrong_share: float) -> None:
    kinds = {MATH_KIND, WRONG_NUMBER_KIND, *WEB_MIXTURE}
    for document in web_documents(3, seed, noise_share=noise_share, wrong_share=wrong_share):
        _check_spans(document)
        assert {kind for _, _, kind in document.spans} <= kinds
        wrong = [document.text[start:end] for start, end, kind in document.spans if kind == WRONG_NUMBER_KIND]
        assert all(len(text) == 1 and text.isdigit() for text in wrong)


@given(seed=seeds, num=st.integers(1, 6), offset=st.integers(0, 6))
def test_a_stream_does_not_depend_on_where_it_is_cut(seed: int, num: int, offset: int) -> None:
    assert web_documents(num, seed, offset) == web_documents(12, seed)[offset : offset + num]
    assert clean_documents(num, seed, offset) == clean_documents(12, seed)[offset : offset + num]
    samples = sft_samples("sft_tir", 12, seed)[offset : offset + num]
    assert sft_samples("sft_tir", num, seed, offset) == samples


@pytest.mark.parametrize(
    "noise_share", [0.0, 0.6, *(pytest.param(share, marks=pytest.mark.sweep) for share in (0.3, 0.8))]
)
def test_noise_share_is_the_stated_one(noise_share: float) -> None:
    documents = web_documents(1_500, 1, noise_share=noise_share)
    characters = sum(len(document.text) for document in documents)
    useful = sum(
        end - start
        for document in documents
        for start, end, kind in document.spans
        if kind in (MATH_KIND, WRONG_NUMBER_KIND)
    )
    assert 1.0 - useful / characters == pytest.approx(noise_share, abs=0.015)


def test_wrong_share_is_the_stated_one() -> None:
    documents = web_documents(1_500, 2, wrong_share=0.2)
    kinds = Counter(kind for document in documents for _, _, kind in document.spans)
    solutions = sum(len(QUESTION.findall(document.text)) for document in documents)
    assert kinds[WRONG_NUMBER_KIND] / solutions == pytest.approx(0.2, abs=0.02)
    clean = web_documents(200, 2, wrong_share=0.0)
    assert all(kind != WRONG_NUMBER_KIND for document in clean for _, _, kind in document.spans)


def test_every_noise_kind_occurs_and_lies_inside_documents() -> None:
    documents = web_documents(300, 0)
    assert {kind for document in documents for _, _, kind in document.spans} >= {MATH_KIND, *WEB_MIXTURE}
    mixed = [document for document in documents if 0.0 < document.share() < 1.0]
    assert len(mixed) > 290
    inside = [document for document in documents if _maths_on_both_sides_of_noise(document)]
    assert len(inside) > 240


def _maths_on_both_sides_of_noise(document: Document) -> bool:
    kinds = "".join("m" if kind == MATH_KIND else "n" for _, _, kind in document.spans if kind != WRONG_NUMBER_KIND)
    return "n" in kinds.strip("n")


def test_clean_documents_are_maths_only() -> None:
    for document in clean_documents(50, 0):
        assert document.spans == ((0, len(document.text), MATH_KIND),)
        assert 2 <= len(QUESTION.findall(document.text)) <= 4
    tasks = {len(QUESTION.findall(document.text)) for document in clean_documents(50, 0)}
    assert tasks == {2, 3, 4}


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_each_noise_kind_stands_alone_at_the_stated_share(kind: NoiseKind) -> None:
    documents = web_documents(200, 1, noise_kinds=[kind])
    for document in documents:
        _check_spans(document)
        assert {found for _, _, found in document.spans} <= {MATH_KIND, WRONG_NUMBER_KIND, kind}
    noise = sum(document.share(kind) * len(document.text) for document in documents)
    assert noise / sum(len(document.text) for document in documents) == pytest.approx(0.5, abs=0.03)


def test_the_noise_changes_no_problem_of_a_page_and_the_order_of_kinds_nothing() -> None:
    def problems(**noise: Any) -> list[str]:
        pages = web_documents(30, 3, **noise)
        kept = (MATH_KIND, WRONG_NUMBER_KIND)
        return ["".join(page.text[a:b] for a, b, kind in page.spans if kind in kept) for page in pages]

    assert problems() == problems(noise_share=0.0) == problems(noise_share=0.8, noise_kinds=["random_string"])
    assert web_documents(9, 3, noise_kinds=["url", "byline"]) == web_documents(9, 3, noise_kinds=["byline", "url"])


def test_noise_kinds_differ_in_how_often_they_say_the_same() -> None:
    def distinct(kind: NoiseKind) -> float:
        pages = web_documents(400, 5, noise_kinds=[kind])
        texts = [page.text[a:b] for page in pages for a, b, found in page.spans if found == kind]
        lines = [line for text in texts for line in text.splitlines() if line]
        return len(set(lines)) / len(lines)

    assert distinct("boilerplate") < 0.05
    assert distinct("random_string") > 0.95


def test_the_pseudo_language_keeps_its_agreement() -> None:
    pages = web_documents(60, 6, noise_kinds=["pseudo_language"])
    text = " ".join(page.text[a:b] for page in pages for a, b, kind in page.spans if kind == "pseudo_language")
    sentences = re.findall(r"[A-Z][a-z ]+\.", text)
    assert len(sentences) > 300
    ending = re.compile(r"[aeo](lin)?$")
    for sentence in sentences:
        subject, _, thing = sentence.lower().rstrip(".").partition(" be ")
        *phrase, verb, adverb = subject.split()
        assert len({ending.search(word)[0] for word in (*phrase, verb)}) == 1  # type: ignore[index]
        assert len({ending.search(word)[0] for word in thing.split()}) == 1  # type: ignore[index]
        assert not ending.search(adverb)


def test_unknown_noise_kinds() -> None:
    for kinds in ([], ["spam"]):
        with pytest.raises(ValueError, match="noise_kinds must be some of navigation, "):
            web_documents(1, 0, noise_kinds=kinds)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [{"noise_share": 1.0}, {"noise_share": -0.1}, {"wrong_share": 1.1}])
def test_bad_shares(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=rf"{next(iter(bad))} must be in"):
        web_documents(1, 0, **bad)


def _shipped_texts(seed: int, part: int) -> dict[str, list[str]]:
    """Return the first ``1 / part`` of each text."""
    web, general, general_offset = SHIPPED_WEB
    documents = web_documents(web // part, seed) + web_documents(general // part, seed, general_offset)
    samples = [
        sample
        for style, number in zip(("sft_tir", "sft_cot"), SHIPPED_SFT, strict=True)
        for sample in sft_samples(style, number // part, seed)  # type: ignore[arg-type]
    ]
    return {
        "clean": [document.text for document in clean_documents(SHIPPED_CLEAN // part, seed)],
        "web": [document.text for document in documents],
        "sft": [sample.text for sample in samples],
    }


@pytest.mark.parametrize("part", [5, pytest.param(1, marks=pytest.mark.sweep)])
def test_no_test_question_occurs_in_any_training_text(part: int) -> None:
    stems = {
        canonical_key(problem.stem): task
        for task in (*MATH_TASKS, "gsm_hard")
        for problem in make_problems(task, "test", TEST_ROWS, TEST_SEED)
    }
    assert len(stems) == 10 * TEST_ROWS
    for corpus, texts in _shipped_texts(0, part).items():
        questions = [OPTIONS.sub("", "".join(found)) for text in texts for found in QUESTION.findall(text)]
        assert len(questions) >= len(texts)
        assert not {canonical_key(question) for question in questions} & stems.keys(), corpus
        assert all(split_of(question) == "train" for question in questions[::50])
        joined = canonical_key("\n".join(texts))
        assert not [stem for stem in list(stems)[::40] if stem in joined], corpus


@given(seed=seeds, style=st.sampled_from(["sft_tir", "sft_cot"]))
def test_sft_samples_are_dialogues(seed: int, style: str) -> None:
    (sample,) = sft_samples(style, 1, seed)  # type: ignore[arg-type]
    roles = [role for role, _ in sample.segments]
    assert "".join(text for _, text in sample.segments) == sample.text
    if style == "sft_cot":
        assert roles == ["user", "assistant"]
        assert sample.task in MATH_TASKS
        return
    assert roles == ["user", "assistant", "tool", "assistant"]
    assert sample.task in TOOL_TASKS
    pattern = (
        r"<\|user\|>\n.+\n<\|assistant\|>\n```python\n.+\n```\n```output\n.+\n```\nThe answer is \$\\boxed\{.+\}\$\."
    )
    assert re.fullmatch(pattern, sample.text, flags=re.DOTALL)


def test_unknown_sft_style() -> None:
    with pytest.raises(ValueError, match="style must be"):
        sft_samples("sft", 1, 0)  # type: ignore[arg-type]


def test_the_text_is_the_same_on_every_machine() -> None:
    digest = hashlib.sha256()
    for document in clean_documents(40, 0) + web_documents(40, 0, noise_share=0.6):
        digest.update(repr((document.text, document.spans)).encode())
    for sample in sft_samples("sft_tir", 40, 0) + sft_samples("sft_cot", 40, 0):
        digest.update(sample.text.encode())
    for task in (*MATH_TASKS, "gsm_hard"):
        for problem in make_problems(task, "test", 40, 0):
            digest.update(repr(problem).encode())
    assert digest.hexdigest() == "8d9d541ceb15f62734e0bc5dbb2b05b0cc15f1dba4c4b9afb4ab2111d15b5d03"
