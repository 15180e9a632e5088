"""Benchmark texts in training text: found where they stand, nowhere else, counted by source and left out on demand."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from corpus_runs import HeardProgress, content, corpus_context, kill_at_write, write_lines
from pydantic import ValidationError

from rho1bench import mini_world
from rho1bench.corpus import packed_corpus, stage
from rho1bench.corpus.decontamination import BenchmarkText, read_benchmark_texts, write_benchmark_texts
from rho1bench.corpus.overlap import MAX_SHARING, build_index, load_index
from rho1bench.corpus.packed_corpus import CorpusMeta, PackedCorpus
from rho1bench.errors import DataError

LATIN = [f"{letter}{number}" for letter in "abcdefghij" for number in range(400)]


def sentence(dice: random.Random, words: int) -> str:
    return " ".join(dice.choice(LATIN) for _ in range(words))


@pytest.fixture(scope="module")
def pages() -> list[str]:
    return [document.text for document in mini_world.web_documents(100, 0)]


@pytest.fixture(scope="module")
def questions(pages: list[str]) -> list[str]:
    """Questions in the words of the pages, each of 16 to 40 words."""
    dice = random.Random(0)
    words = [word for page in pages for word in page.split() if word.isalnum()]
    return [" ".join(dice.choices(words, k=dice.randint(16, 40))) + "?" for _ in range(500)]


def test_planted_spans_are_found_and_clean_text_is_not(pages: list[str], questions: list[str]) -> None:
    """100 of 100 and 0 of 100: spans of 13 words in the middle of web pages, with case and signs of their own."""
    index = build_index(questions)
    dice = random.Random(1)
    planted = []
    for page in pages:
        number = dice.choice(sorted(index.looked_for))
        words = questions[number].split()
        start = dice.randrange(len(words) - 12)
        span = ", ".join(words[start : start + 13])
        place = page.index(" ", len(page) // 2)
        planted.append((number, f"{page[:place]} ({span.upper()}) -{page[place:]}"))
    found = index.find([text for _, text in planted])
    hits = [
        overlap is not None and number in overlap.texts for (number, _), overlap in zip(planted, found, strict=True)
    ]
    assert sum(hits) == 100
    assert index.find(pages) == [None] * 100


@pytest.mark.parametrize("words", [8, 12, 13, 40])
def test_so_many_words_in_a_row(words: int) -> None:
    """A short text counts as a whole, a long one by any 13 words; one word less, or another, is no overlap."""
    text = sentence(random.Random(words), words).split()
    index = build_index([" ".join(text)])
    needed = min(words, 13)
    assert index.find([" ".join(text[-needed:])])[0] is not None
    assert index.find([" ".join(text[-needed + 1 :]), " ".join([*text[: needed - 1], "x", *text[needed:][:12]])]) == (
        [None, None]
    )


def test_what_words_are() -> None:
    index = build_index(["Der Ärger über “x+y=12” — naïve Häuser, und ½ davon: sieben; acht!"])
    assert index.find(["der ärger über x y 12 NAÏVE häuser und ½ DAVON (sieben) acht"])[0] is not None
    assert index.find(["der arger uber x y 12 naive hauser und davon sieben acht", "", "\0", "—"]) == [None] * 4
    assert build_index([]).find(["some text"]) == [None]


def test_rows_of_figures_are_no_text() -> None:
    figures = ", ".join(map(str, range(13)))
    assert build_index([f"{figures}, thirteen words follow"]).find([figures]) == [None]


def test_words_of_two_documents_are_never_in_a_row() -> None:
    words = sentence(random.Random(1), 13).split()
    index = build_index([" ".join(words)])
    assert index.find([" ".join(words[:7]), " ".join(words[7:])]) == [None, None]


def test_words_that_many_texts_share_are_nobodys() -> None:
    dice = random.Random(2)
    phrase = sentence(dice, 13)
    few = [f"{phrase} {sentence(dice, 20)}" for _ in range(MAX_SHARING)]
    assert build_index(few).find([phrase])[0] is not None
    index = build_index([*few, phrase])
    assert index.find([phrase]) == [None]
    assert index.looked_for == set(range(MAX_SHARING)), "the phrase alone has nothing else"


def test_an_index_on_disk_is_the_same(questions: list[str], tmp_path: Path) -> None:
    index = build_index(questions)
    index.save(tmp_path)
    texts = [f"word {question}" for question in questions[::50]]
    assert load_index(tmp_path).find(texts) == index.find(texts)


# ---------------------------------------------------------------------------------------------------------------------
# In the corpus stage


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a stage ``benchmark_texts`` leaves: forty questions of two tasks, every third one asked by both."""
    folder = tmp_path_factory.mktemp("benchmarks")
    dice = random.Random(3)
    texts: list[BenchmarkText] = [
        {
            "tasks": ["one", "two"] if number % 3 == 0 else ["one"],
            "doc_id": str(number),
            "part": "question",
            "text": sentence(dice, 30),
        }
        for number in range(40)
    ]
    texts.append({"tasks": ["two"], "doc_id": "0", "part": "answer", "text": "42"})
    write_benchmark_texts(folder, texts, {"one": (40, 40), "two": (14, 100)})
    return folder


@pytest.fixture
def sources(benchmarks: Path, tmp_path: Path) -> list[dict[str, Any]]:
    """Two files of 300 documents each; every tenth of the first and every fiftieth of the second asks a question."""
    texts, _ = read_benchmark_texts(benchmarks)
    dice, found = random.Random(4), []
    for name, every in (("web", 10), ("books", 50)):
        documents = [sentence(dice, dice.randint(5, 60)) for _ in range(300)]
        for place in range(0, 300, every):
            documents[place] += f": {texts[place // every]['text']}"
        found.append(write_lines(tmp_path / f"{name}.jsonl", documents))
    return found


def run(tokenizer: Path, folder: Path, sources: list[dict[str, Any]], benchmarks: Path, **fields: Any) -> CorpusMeta:
    context = corpus_context(tokenizer, folder, sources, benchmark_texts="benchmarks", **fields)
    context.inputs["benchmarks"] = benchmarks  # type: ignore[index]
    stage.run(context)
    assert isinstance(context.progress, HeardProgress)
    return PackedCorpus(folder).meta


def test_a_corpus_tells_by_source_what_it_holds(
    word_tokenizer: Path, tmp_path: Path, sources: list[dict[str, Any]], benchmarks: Path
) -> None:
    drop = [sources[0], {**sources[1], "decontaminate": "drop"}]
    meta = run(word_tokenizer, tmp_path / "corpus", drop, benchmarks)
    web, books = (account["benchmark_overlap"] for account in meta["sources"])
    assert (web["decontaminate"], web["documents"], web["texts"]) == ("report", 30, 30)
    assert web["tasks"] == {"one": {"question": 30}, "two": {"question": 10}}
    assert (books["decontaminate"], books["documents"], books["texts"]) == ("drop", 6, 6)
    assert [account["num_documents"] for account in meta["sources"]] == [300, 294]
    assert web["examples"][1]["document"] == 10
    assert web["examples"][1]["doc_id"] == "1"
    texts, summary = read_benchmark_texts(benchmarks)
    assert web["examples"][1]["words"] == " ".join(texts[1]["text"].split()[:13])
    assert meta["benchmark_texts"] == summary
    assert summary["looked_for"] == 40
    assert summary["tasks"]["two"] == {"documents": 14, "whole": 100, "texts": 15, "looked_for": 14}

    plain = PackedCorpus(tmp_path / "corpus")
    kept = run(word_tokenizer, tmp_path / "kept", sources, benchmarks)
    assert kept["num_documents"] == 600
    assert kept["num_tokens"] - plain.meta["num_tokens"] == pytest.approx(books["tokens"], abs=32)


def test_a_report_changes_no_block(
    word_tokenizer: Path, tmp_path: Path, sources: list[dict[str, Any]], benchmarks: Path
) -> None:
    reported = run(word_tokenizer, tmp_path / "reported", sources, benchmarks)
    stage.run(corpus_context(word_tokenizer, tmp_path / "plain", sources))
    plain = PackedCorpus(tmp_path / "plain").meta
    assert reported["fingerprint"] == plain["fingerprint"]
    assert "benchmark_texts" not in plain


def test_the_report_of_a_killed_stage_is_that_of_a_straight_one(
    word_tokenizer: Path,
    tmp_path: Path,
    sources: list[dict[str, Any]],
    benchmarks: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packed_corpus, "TOKENS_PER_SHARD", 4096)
    mixed = [{**sources[0], "weight": 2, "decontaminate": "drop"}, {**sources[1], "weight": 1}]
    straight = run(word_tokenizer, tmp_path / "straight", mixed, benchmarks, num_tokens=20_000, num_workers=2)
    assert straight["sources"][0]["benchmark_overlap"]["documents"] > 5
    kill_at_write(monkeypatch, 9)
    with pytest.raises(KeyboardInterrupt):
        run(word_tokenizer, tmp_path / "killed", mixed, benchmarks, num_tokens=20_000)
    run(word_tokenizer, tmp_path / "killed", mixed, benchmarks, num_tokens=20_000)
    assert content(tmp_path / "killed") == content(tmp_path / "straight")


def test_what_does_not_fit(word_tokenizer: Path, tmp_path: Path, sources: list[dict[str, Any]]) -> None:
    with pytest.raises(ValidationError, match="decontaminate needs benchmark_texts"):
        corpus_context(word_tokenizer, tmp_path / "a", [{**sources[0], "decontaminate": "report"}])
    with pytest.raises(DataError, match="holds no benchmark texts"):
        read_benchmark_texts(tmp_path)


def test_a_budget_that_is_a_limit(word_tokenizer: Path, tmp_path: Path, sources: list[dict[str, Any]]) -> None:
    """``at_most``: what there is, of a mixture up to where its shares hold."""
    mixed = [{**source, "weight": weight} for source, weight in zip(sources, (1, 3), strict=True)]
    for name, described in (("plain", sources), ("mixed", mixed)):
        with pytest.raises(DataError, match=r"fill .* blocks|is used up"):
            stage.run(corpus_context(word_tokenizer, tmp_path / name, described, num_tokens=10**7))
        stage.run(corpus_context(word_tokenizer, tmp_path / name, described, num_tokens=10**7, at_most=True))
    whole, part = (PackedCorpus(tmp_path / name).meta for name in ("plain", "mixed"))
    assert whole["num_documents"] == 600
    first, second = (account["num_tokens"] for account in part["sources"])
    assert first / second == pytest.approx(1 / 3, rel=0.02)
    with pytest.raises(ValidationError, match="at_most needs a budget"):
        corpus_context(word_tokenizer, tmp_path / "c", sources, at_most=True)
