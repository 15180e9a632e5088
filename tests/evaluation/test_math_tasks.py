"""The paper's real math tasks: prompts by the protocol, row by row; documents, golds, suites and the listing."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import invented_data
import pytest
from oracle import Oracle

from rho1bench.cli import app as cli
from rho1bench.errors import DataError, RunError
from rho1bench.evaluation.grade_cache import answer_to
from rho1bench.evaluation.harness.lm_eval_tasks import Tasks, run_unit, tool_tasks
from rho1bench.evaluation.tasks.listing import list_tasks, task_prompts
from rho1bench.evaluation.tasks.prompts import EXEMPLARS, split_exemplars
from rho1bench.grading import gold_answer
from rho1bench.grading.paper.normal_form import normalise
from rho1bench.grading.saved_outputs import Lookup, as_answer
from rho1bench.mini_world import COT_STOP
from rho1bench.paper.suites import SHORT_NAMES, SUITES

SUITE_NAMES = ("rho1_math9", "rho1_tir7")
NAMES = [task for suite in SUITE_NAMES for task in SUITES[suite]]
DATA_SETS = {"math500": "math", "sat": "sat_math"}


def data_set_of(name: str) -> str:
    core = name.removeprefix("rho1_").removesuffix("_cot").removesuffix("_tir")
    return DATA_SETS.get(core, core)


@pytest.fixture(scope="module")
def invented(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The sixteen tasks over invented rows."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        invented_data.pin(monkeypatch)
        folder = invented_data.write_folder(tmp_path_factory.mktemp("data"))
        monkeypatch.setenv("RHO1BENCH_DATA", str(folder))
        return Tasks().load(NAMES)


def test_groups_and_suites_name_the_same_sixteen_tasks():
    tasks = Tasks()
    assert [len(SUITES[suite]) for suite in SUITE_NAMES] == [9, 7]
    assert {suite: list(SUITES[suite]) for suite in SUITE_NAMES} == {s: tasks.groups[s] for s in SUITE_NAMES}
    ours = [name for name in tasks.names if name.startswith("rho1_") and name.endswith(("_cot", "_tir"))]
    assert sorted(NAMES) == sorted(ours)
    assert SHORT_NAMES["math"] == ("rho1_math9",)
    assert SHORT_NAMES["tir"] == ("rho1_tir7",)


def test_decoding_is_the_paper_s(invented: dict[str, Any]):
    for name in SUITES["rho1_math9"]:
        stops = ["</s>", *COT_STOP]
        options = invented[name].get_config("generation_kwargs")
        assert options == {"do_sample": False, "max_gen_toks": 1024, "until": stops}, name
        shots = 8 if EXEMPLARS[data_set_of(name)] == "gsm8k" else 4
        assert invented[name].get_config("num_fewshot") == shots, name
    for name in SUITES["rho1_tir7"]:
        stops = ["</s>", "\n\n---", "```output"]
        options = invented[name].get_config("generation_kwargs")
        assert options == {"do_sample": False, "max_gen_toks": 1024, "until": stops}, name
        assert invented[name].get_config("num_fewshot") == 0, name
    settings = tool_tasks(invented)
    assert sorted(settings) == sorted(SUITES["rho1_tir7"])
    assert {(s.max_calls, s.timeout, s.max_output) for s in settings.values()} == {(4, 5.0, 400)}


@pytest.mark.parametrize("name", NAMES)
def test_prompts_of_invented_rows(name: str, invented: dict[str, Any]):
    task, data_set = invented[name], data_set_of(name)
    questions = invented_data.QUESTIONS[data_set]
    assert [doc["question"] for doc in task.eval_docs] == questions
    prompts = [task.fewshot_context(doc, task.get_config("num_fewshot")) for doc in task.eval_docs]
    if name.endswith("_tir"):
        assert prompts == [f"<|user|>\n{question}\n<|assistant|>\n" for question in questions]
        return
    file = EXEMPLARS[data_set]
    exemplars = invented_data.contents()[f"prompts/cot/{file}.md"].decode().strip()
    before, after = ("Question: ", "\nAnswer:") if file == "gsm8k" else ("Problem:\n", "\nSolution:")
    assert prompts == [f"{exemplars}\n\n\n{before}{question}{after}" for question in questions]


def test_known_answers_score_one_and_wrong_ones_zero(invented: dict[str, Any]):
    for right in (True, False):
        answers = {}
        for name, task in invented.items():
            for doc in task.eval_docs:
                said = doc["paper_gold"] if right else "-5"
                text = f"```python\nprint({said!r})\n```\n" if name.endswith("_tir") else f" The answer is ({said})."
                answers[task.fewshot_context(doc, task.get_config("num_fewshot"))] = text
        engine: Any = Oracle(answers, right)
        scores = run_unit(engine, invented, None).results["results"]
        assert {name: scores[name]["exact_match,none"] for name in NAMES} == dict.fromkeys(NAMES, float(right))


def test_documents_hold_both_gold_answers(invented: dict[str, Any]):
    golds = {
        name: [(doc["answer"], doc["paper_gold"]) for doc in invented[name].eval_docs]
        for name in ("rho1_math500_cot", "rho1_asdiv_cot", "rho1_mathqa_cot", "rho1_gsm_hard_tir")
    }
    assert golds == {
        "rho1_math500_cot": [(r"\dfrac{1}{2}", r"\frac{1}{2}"), (r"x \in (-2,2)", "(-2,2)")],
        "rho1_asdiv_cot": [("3:10 p.m. time", "3:10p."), ("3 caps", "3")],
        "rho1_mathqa_cot": [("A", "A"), ("B", "B")],
        "rho1_gsm_hard_tir": [("5000001.0", "5000001")],
    }


def test_the_gold_answer_in_normal_form_is_not_normalised_again(invented: dict[str, Any]):
    doc = invented["rho1_asdiv_cot"].eval_docs[0]
    assert answer_to(doc, "x").paper_gold == doc["paper_gold"] == gold_answer(invented_data.ROWS["asdiv"][0], "asdiv")
    assert normalise(doc["paper_gold"]) != doc["paper_gold"]
    mini = {"answer": "4.0 cm", "data_set": "gsm8k"}
    assert (answer_to(mini, "x").paper_gold, answer_to(mini, "x").gold) == (normalise("4.0 cm"), "4.0 cm")


def test_saved_samples_are_graded_against_the_same_gold_answers(invented: dict[str, Any], tmp_path: Path):
    for name, task in invented.items():
        for doc in task.eval_docs:
            row = {"task": name, "doc": doc, "target": doc["answer"], "completion": " The answer is 4."}
            path = tmp_path / f"samples_{name}.jsonl"
            assert as_answer(row, "line 1", None, path, Lookup(None)) == answer_to(doc, row["completion"])


def test_an_exemplar_without_its_label_is_refused():
    assert split_exemplars("Question: a\nAnswer: b\n\n\nProblem:\nc\n\nd\nSolution:\ne\n") == [
        ("Question: a\nAnswer:", " b"),
        ("Problem:\nc\n\nd\nSolution:", "\ne"),
    ]
    with pytest.raises(ValueError, match="without 'Answer:' or 'Solution:'"):
        split_exemplars("Question: a\nAnswer: b\n\n\nQuestion: c")


# --- listing and command line ----------------------------------------------------------------------------------------


def test_the_list_names_every_task_with_rows_score_and_source():
    facts = {fact.name: fact for fact in list_tasks()}
    assert len(facts) >= 45
    assert all(fact.num_rows and fact.source and fact.suites for fact in facts.values())
    sat = facts["rho1_sat_cot"]
    assert (sat.suites, sat.num_rows, sat.metric) == (("rho1_math9",), 32, "exact_match")
    assert sat.source == "ZubinGou/math-evaluation-harness@db77bc6"
    assert facts["rho1_tabmwp_tir"].source == "lupantech/PromptPG@7cf61b1"
    assert (facts["mini_piqa"].metric, facts["mini_piqa"].num_rows) == ("acc", 10)


def test_unknown_tasks_and_suites_have_no_prompts():
    with pytest.raises(RunError, match=r"'rho1_gsm8k': no such .* Did you mean 'rho1_gsm8k_"):
        task_prompts("rho1_gsm8k")
    with pytest.raises(RunError, match=r"is a suite; .* task by task: rho1_gsm8k_tir, rho1_math500_tir"):
        task_prompts("rho1_tir7")


def run_cli(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["rho1bench", *arguments])
    monkeypatch.setenv("RHO1BENCH_DATA", "")
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_the_command_prints_prompts_hashes_and_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    invented_data.pin(monkeypatch)
    root = str(invented_data.write_folder(tmp_path / "data"))
    assert run_cli(monkeypatch, "tasks", "prompts", "rho1_svamp_tir", "--data-root", root, "--limit", "1") == 0
    question = invented_data.QUESTIONS["svamp"][0]
    assert capsys.readouterr().out == f"===== rho1_svamp_tir, row 0 =====\n<|user|>\n{question}\n<|assistant|>\n\n"
    assert run_cli(monkeypatch, "tasks", "prompts", "rho1_svamp_cot", "--data-root", root, "--sha256") == 0
    hashes = capsys.readouterr().out.splitlines()
    assert hashes == [hashlib.sha256(prompt.encode()).hexdigest() for prompt in task_prompts("rho1_svamp_cot")]
    assert len(hashes) == 2
    (tmp_path / "data" / "math" / "svamp" / "test.jsonl").write_text("{}\n")
    assert run_cli(monkeypatch, "tasks", "prompts", "rho1_svamp_cot", "--data-root", root, "--sha256") == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "svamp/test.jsonl, line 1: lacks the key 'Body', 'Question', 'Answer'" in shown.err


# --- the real data ---------------------------------------------------------------------------------------------------


def test_every_real_prompt_has_its_recorded_hash(shared_data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RHO1BENCH_DATA", str(shared_data / "data"))
    recorded = json.loads((shared_data / "reference" / "prompt_sha256.json").read_text())
    sets = {key: facts for key, facts in recorded.items() if not key.startswith("_")}
    kinds = {"_cot": "cot", "_tir": "tora"}
    assert {f"{data_set_of(name)}.{kinds[name[-4:]]}" for name in NAMES} == set(sets)
    num_rows = 0
    for name in NAMES:
        facts = sets[f"{data_set_of(name)}.{kinds[name[-4:]]}"]
        hashes = [hashlib.sha256(prompt.encode()).hexdigest() for prompt in task_prompts(name)]
        assert [digits[:16] for digits in hashes] == facts["row_sha256_16"], name
        assert hashlib.sha256("".join(hashes).encode()).hexdigest() == facts["sha256_of_row_sha256s"], name
        num_rows += len(hashes)
    assert num_rows == sum(facts["rows"] for facts in sets.values()) == 21_567


def test_a_flipped_byte_in_the_real_data_stops_the_task(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "math" / "sat_math" / "test.jsonl"
    path.parent.mkdir(parents=True)
    (tmp_path / "prompts").symlink_to(shared_data / "data" / "prompts")
    lines = (shared_data / "data" / "math" / "sat_math" / "test.jsonl").read_bytes().split(b"\n")
    lines[20] = lines[20].replace(b"e", b"a", 1)
    path.write_bytes(b"\n".join(lines))
    monkeypatch.setenv("RHO1BENCH_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"sat_math/test\.jsonl, line 21: "):
        next(task_prompts("rho1_sat_cot"))
