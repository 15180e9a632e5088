"""Tasks that do not ship: YAMLs of one's own, lm-eval's by name, several answers to a prompt, a chat template."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from eval_cli import CommandLine, keys

from rho1bench.leaderboard.records.add import add
from rho1bench.leaderboard.records.checks import read_records
from rho1bench.system.files import read_json, read_jsonl

URL = "http://127.0.0.1:1"

SUMS = """
task: my_sums
dataset_path: json
dataset_kwargs: {data_files: {test: FOLDER/sums.jsonl, train: FOLDER/sums.jsonl}}
output_type: generate_until
test_split: test
training_split: train
fewshot_split: train
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: " {{answer}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 6, do_sample: false}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
filter_list:
  - {name: number, filter: [{function: regex, regex_pattern: "([0-9]+)"}, {function: take_first}]}
  - {name: whole, filter: [{function: take_first}]}
metadata: {version: 1}
"""


@pytest.fixture
def rho1bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one task and its rows."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "mine"
    folder.mkdir()
    rows = [{"question": f"What is {number} + 1?", "answer": str(number + 1)} for number in range(4)]
    (folder / "sums.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (folder / "sums.yaml").write_text(SUMS.replace("FOLDER", str(folder)))
    return folder


def _evaluate(rho1bench: CommandLine, checkpoint: Path, output: Path, *more: Any) -> dict[str, Any]:
    command = ["eval", checkpoint, "--engine", "hf", "--output", output, "--max-model-len", 128, *more]
    ended = rho1bench(*command)
    assert ended.code == 0, ended.err
    results: dict[str, Any] = read_json(output / checkpoint.name / "results.json")["rho1bench"]
    return results


def test_a_yaml_of_ones_own_is_a_task_like_others(
    checkpoints: dict[str, Path], own: Path, rho1bench: CommandLine, tmp_path: Path
) -> None:
    late, output, mine = checkpoints["late"], tmp_path / "evals", ["--include-path", own, "--tasks", "my_sums"]
    greedy = _evaluate(rho1bench, late, output, *mine)
    task = greedy["tasks"]["my_sums"]
    assert (task["n"], task["num_rows"], task["metric"]) == (4, 4, "exact_match")
    assert len(read_jsonl(output / "late" / "samples_my_sums.jsonl")) == 4  # of two filters the first one counts
    asked = keys(output / "late")
    _evaluate(rho1bench, late, output, *mine)
    assert keys(output / "late") == asked

    options = ["--num-fewshot", 1, "--samples", 3, "--temperature", 0.8, "--max-new-tokens", 4]
    sampled = _evaluate(rho1bench, late, output, *mine, *options)
    rows = read_jsonl(output / "late" / "samples_my_sums.jsonl")
    assert sampled["eval_fingerprint"] != greedy["eval_fingerprint"]
    assert sampled["tasks"]["my_sums"]["generation_kwargs"] | {"until": 0} == {
        "until": 0, "max_gen_toks": 4, "do_sample": True, "temperature": 0.8, "repeats": 3,
    }  # fmt: skip
    assert all(len(row["answers"]) == len(row["completion"]) == 3 for row in rows)
    assert all(row["score"] == pytest.approx(sum(one["score"] for one in row["answers"]) / 3) for row in rows)
    assert set(sampled["tasks"]["my_sums"]["metrics"]) == {"avg@3", "maj@3"}
    assert rows[0]["prompt"].count("Question:") == 2

    written = add(output / "late", tmp_path / "results")
    assert {path.parent.name for path in written} == {"my_sums"}
    assert read_records(tmp_path / "results")[1] == []
    record = read_json(tmp_path / "results" / "records" / "my_sums" / "late.json")
    assert record["scale"] == "mini"
    for word in ("--include-path mine", "--num-fewshot 1", "--samples 3", "--temperature 0.8", "--max-new-tokens 4"):
        assert word in record["command"]

    text = (own / "sums.yaml").read_text()
    (own / "sums.yaml").write_text(text.replace("Answer:", "The answer:"))
    assert _evaluate(rho1bench, late, output, *mine, *options)["eval_fingerprint"] != sampled["eval_fingerprint"]


def test_lm_evals_own_task_agrees_with_plain_lm_eval(
    checkpoints: dict[str, Path], shared_data: Path, rho1bench: CommandLine, tmp_path: Path
) -> None:
    """``hellaswag`` by its name, its rows from a data folder, beside lm-eval with nothing of ours."""
    from test_plain_lm_eval import plain_results

    root, limit = shared_data / "data", 20
    plain = plain_results("hellaswag", root / "general", checkpoints["late"], tmp_path / "cache", limit)
    options = ["--tasks", "hellaswag", "--data-root", root, "--limit", limit, "--num-fewshot", 0]
    ours = _evaluate(rho1bench, checkpoints["late"], tmp_path / "evals", *options, "--max-model-len", 256)
    assert ours["tasks"]["hellaswag"]["score"] == pytest.approx(plain["results"]["hellaswag"]["acc,none"])
    rows = read_jsonl(tmp_path / "evals" / "late" / "samples_hellaswag.jsonl")
    for left, right in zip(rows, plain["samples"]["hellaswag"], strict=True):
        assert left["prompt"] == right["arguments"][0][0]
        assert left["loglikelihoods"] == pytest.approx([float(found[0][0]) for found in right["resps"]], abs=1e-4)
        assert left["acc_norm"] == right["acc_norm"]


def test_prompts_are_chats_in_the_checkpoints_template(
    checkpoints: dict[str, Path], own: Path, rho1bench: CommandLine, tmp_path: Path
) -> None:
    chat = shutil.copytree(checkpoints["late"], tmp_path / "chat")
    options = ["--include-path", own, "--tasks", "my_sums", "--num-fewshot", 1, "--limit", 1, "--chat-template"]
    refused = rho1bench("eval", chat, "--engine", "hf", "--output", tmp_path / "evals", *options)
    assert (refused.code, "has no chat template" in refused.err) == (2, True)
    template = "{% for turn in messages %}<{{ turn.role }}>{{ turn.content }}{% endfor %}"
    (chat / "chat_template.jinja").write_text(template + "{% if add_generation_prompt %}<assistant>{% endif %}")
    _evaluate(rho1bench, chat, tmp_path / "evals", *options)
    (row,) = read_jsonl(tmp_path / "evals" / "chat" / "samples_my_sums.jsonl")
    assert [row["prompt"].count(word) for word in ("<user>Question:", "<assistant>")] == [2, 2]
    assert row["prompt"].endswith("<assistant>")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--include-path", "nowhere"], "no such folder"),
        (["--include-path", "OWN", "--tasks", "my_sum"], "Did you mean 'my_sums'"),
        (["--include-path", "BROKEN", "--tasks", "my_sums"], "cannot be read as a task"),
        (["--suite", "math", "--num-fewshot", 0], "the paper's protocol, which leaves no choice of num fewshot"),
        (["--tasks", "mini_sat", "--samples", 4], "Set a temperature above 0"),
        (["--tasks", "mini_sat", "--top-p", 0.9], "no effect on greedy decoding"),
        (["--tasks", "mini_boolq", "--max-new-tokens", 9], "compares log-likelihoods"),
        (["--tasks", "mini_gsm8k_tir", "--samples", 2, "--temperature", 1.0], "says itself how its answers"),
        (["--tasks", "wikitext"], "cannot be built"),
        (["--tasks", "mini_sat", "--engine", "openai", "--base-url", URL, "--dtype", "float16"], "--dtype"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_message_before_a_model_is_loaded(
    checkpoints: dict[str, Path], own: Path, rho1bench: CommandLine, tmp_path: Path, options: list[Any], words: str
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.yaml").write_text("task: [my_sums")
    given = [{"OWN": own, "BROKEN": broken}.get(option, option) for option in options]
    engine = [] if "--engine" in given else ["--engine", "hf"]
    ended = rho1bench("eval", checkpoints["late"], *engine, "--output", tmp_path / "evals", *given)
    assert ended.code == 2
    assert words in " ".join(ended.err.split())
    assert "Traceback" not in ended.err
    assert not (tmp_path / "evals" / "late" / "answers.jsonl").exists()
