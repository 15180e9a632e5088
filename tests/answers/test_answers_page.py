"""Reading samples of every origin, the index and chunks of the page, and two models answer by answer."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rho1bench.answers import collection
from rho1bench.answers.differences import answer_pairs, counts_table, differing_table
from rho1bench.answers.page import write_page
from rho1bench.answers.samples import as_answer
from rho1bench.answers.sources import Source, find_pair, find_sources
from rho1bench.errors import DataError

EXAMPLES = "Q: 1+1?\nA: 2\n\nQ: 2+2?\nA: 4\n\n"
RELEASED = {"idx": 4, "question": "How many?", "gt": "18", "code": ["It is 18."], "report": [None], "score": [True]}


def sample(number: int, text: str, paper: str = "correct", verified: str = "correct", **more: Any) -> dict[str, Any]:
    """A line as an evaluation writes it."""
    row = {"task": "sums", "doc_id": number, "doc": {"question": f"{number}+1?"}, "target": str(number + 1)}
    row |= {"prompt": f"{EXAMPLES}Q: {number}+1?\nA:", "score": float(paper == "correct"), "completion": text}
    return row | {"pred": text.strip(), "paper": paper, "verified": verified, "finish_reason": "stop"} | more


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    """Two models on three questions: the first is right on 0 and 1, the second on 1 and 2."""
    bad = {"paper": "incorrect", "verified": "incorrect"}
    left = [sample(0, " 1"), sample(1, " 2"), sample(2, " 9", **bad, truncated=True)]
    write(tmp_path / "eval/left/samples_sums.jsonl", left)
    write(tmp_path / "eval/right/samples_sums.jsonl", [sample(0, " 7", **bad), sample(1, " 2"), sample(2, " 3")])
    return tmp_path / "eval"


def unpacked(text: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(text)))


def test_lines_of_three_origins_become_answers() -> None:
    ours = as_answer(sample(0, " 1", num_tokens=3), "here", 0, "other")
    assert (ours.question.task, ours.question.doc_id, ours.question.gold, ours.pred) == ("sums", "0", "1", "1")
    assert ours.details == {"pred": "1", "num_tokens": 3}
    released = as_answer(RELEASED | {"pred": "18", "paper": "correct", "verified": "incorrect"}, "here", 9, "gsm8k")
    assert (released.question.prompt, released.question.gold, released.score) == ("How many?", "18", 1.0)
    assert (released.question.task, released.question.doc_id, released.texts) == ("gsm8k", "4", ["It is 18."])
    ranked = as_answer({"doc_id": 1, "doc": {}, "target": 2, "score": 0.0, "loglikelihoods": [-1.5, -2]}, "", 0, "t")
    assert (ranked.texts, ranked.question.gold, ranked.details["loglikelihoods"]) == ([], "2", [-1.5, -2])


@pytest.mark.parametrize("line", ["[1]", "{}", "no json"])
def test_a_line_without_an_answer_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text(f"{json.dumps(RELEASED)}\n{line}\n")
    with pytest.raises(DataError, match=r"lines.jsonl:2: .*rho1bench grade"):
        write_page(tmp_path / "answers.html", find_sources([str(path)]), "Answers")
    assert not (tmp_path / "answers.html").exists()


def test_the_page_holds_every_answer_once_and_each_question_once(
    evaluation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "CHUNK", 300)
    page = tmp_path / "answers.html"
    stale = write(tmp_path / "answers_files/a7-3.js", [])
    own = write(tmp_path / "answers_files/mine.js", [])
    write_page(page, find_sources([str(evaluation)]), "Answers")
    assert not stale.exists()
    assert own.exists()
    index = unpacked(re.findall(r'<script id="index"[^>]*>([^<]*)<', page.read_text())[0])
    left, right = index["models"]
    assert (left["label"], left["question"], right["question"]) == ("left", [0, 1, 2], [0, 1, 2])
    assert ([index["words"][word] for word in left["paper"]]) == ["correct", "correct", "incorrect"]
    assert (left["cut"], right["score"]) == ([0, 0, 1], [0.0, 1.0, 1.0])
    assert index["questions"]["examples"] == [EXAMPLES]
    assert left["starts"] == [0, 2]
    texts = []
    for number in range(2):
        name, text = re.findall(r'"([^"]+)"', (tmp_path / f"answers_files/a0-{number}.js").read_text())
        assert name == f"a0-{number}"
        texts += [value[0] for value in unpacked(text)]
    assert texts == [[" 1"], [" 2"], [" 9"]]


def test_examples_are_what_all_prompts_begin_with() -> None:
    assert collection.common_examples(["a\n\nb", "a\n\nc"]) == "a\n\n"
    assert collection.common_examples(["a\n\nb"]) == ""
    assert collection.common_examples(["Janet", "Jan"]) == ""


def test_two_models_are_counted_question_by_question(evaluation: Path) -> None:
    pair = find_pair(str(evaluation / "left"), str(evaluation / "right"))
    pairs = answer_pairs(*pair)
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(counts_table(pairs, "left", "right"), differing_table(pairs, "left", "right", most=5))
    text = console.export_text()
    assert re.search(r"sums\s+│ 3 │\s+1 │\s+1 │\s+1 │\s+0 │\s+1 ", text)
    assert "2 of 3 answers differ" in text
    assert re.search(r"sums 2\s+│ 3\s+│ ✗ 9 \(incorrect.*│ ✓ 3", text)


def test_models_of_one_name_are_told_apart_and_strangers_refused(evaluation: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "second/left/samples_sums.jsonl", [sample(8, " 9")])
    first, second = find_pair(str(evaluation / "left"), str(other.parent))
    assert first.label != second.label
    with pytest.raises(DataError, match="no question in common"):
        answer_pairs(first, second)
    with pytest.raises(DataError, match="set beside itself"):
        find_pair(str(other), str(other))
    with pytest.raises(DataError, match="holds 2 models"):
        find_pair(str(evaluation), str(other))
    with pytest.raises(DataError, match="holds no answers"):
        find_sources([str(tmp_path / "nowhere")])


def test_a_run_is_found_by_its_stages_and_names_may_be_given(evaluation: Path, tmp_path: Path) -> None:
    (tmp_path / "run/stages").mkdir(parents=True)
    evaluation.rename(tmp_path / "run/stages/eval")
    assert [source.label for source in find_sources([str(tmp_path / "run")])] == ["left", "right"]
    left = tmp_path / "run/stages/eval/left"
    assert find_sources([f"mine={left}"]) == [Source("mine", (left / "samples_sums.jsonl",))]
