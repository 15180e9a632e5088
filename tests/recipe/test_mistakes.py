"""Recipes: every mistake is told at once, with its place and a remedy."""

from __future__ import annotations

import math

import pytest
from small_recipe import SMALL, problems, stage

CASES = {
    "unknown key": (
        lambda data: stage(data, "slm")["selection"].update(rato=0.6),
        ("stages.slm.selection.rato", "unknown key 'rato'", "did you mean 'ratio'?"),
    ),
    "unknown key at the top": (
        lambda data: data.update(seeeds=[1]),
        ("seeeds: unknown key", "did you mean 'seeds'?", "valid keys here: name, description"),
    ),
    "a tuning seed that does not run": (
        lambda data: data.update(seeds=[1, 2], tuning_seeds=[0, 1]),
        ("tuning_seeds [0] are not among the seeds [1, 2]",),
    ),
    "a seed twice": (lambda data: data.update(seeds=[1, 2, 1]), ("seeds [1, 2, 1]", "none may stand twice")),
    "a seed of more bits than generators take": (
        lambda data: data.update(seed=2**32),
        ("seed: expected a whole number at least 0 and at most 4e+09, got 4294967296",),
    ),
    "more threads than a machine starts": (
        lambda data: stage(data, "clm").update(num_threads=1_000_000, loader_workers=100_000),
        ("stages.clm.num_threads", "at most 1024", "stages.clm.loader_workers"),
    ),
    "a number as a key": (
        lambda data: stage(data, "slm")["selection"].update({6: None}),
        ("stages.slm.selection.6: unknown key 6, a number; valid keys here: score",),
    ),
    "no seed that counts": (
        lambda data: data.update(seeds=[1, 2], tuning_seeds=[2, 1]),
        ("all seeds [1, 2] are tuning_seeds, so none counts",),
    ),
    "ratio 0": (
        lambda data: stage(data, "slm")["selection"].update(ratio=0),
        ("stages.slm.selection.ratio", "a number greater than 0 and at most 1", "got 0"),
    ),
    "ratio 1.5": (
        lambda data: stage(data, "slm")["selection"].update(ratio=1.5),
        ("stages.slm.selection.ratio", "a number greater than 0 and at most 1", "got 1.5"),
    ),
    "ratio not a number": (
        lambda data: stage(data, "slm")["selection"].update(ratio=math.nan),
        ("stages.slm.selection.ratio", "got nan"),
    ),
    "infinite learning rate": (
        lambda data: stage(data, "slm")["optimizer"].update(learning_rate=math.inf),
        ("stages.slm.optimizer.learning_rate", "got inf"),
    ),
    "unknown score": (
        lambda data: stage(data, "slm")["selection"].update(score="exces_loss"),
        ("stages.slm.selection.score", "one of excess_loss", "did you mean 'excess_loss'?"),
    ),
    "unknown kind": (
        lambda data: stage(data, "clm").update(kind="pretrian"),
        ("stages.clm.kind", "unknown kind 'pretrian'", "did you mean 'pretrain'?"),
    ),
    "no kind": (lambda data: stage(data, "clm").pop("kind"), ("stages.clm.kind: missing", "pretrain")),
    "kind is a list": (lambda data: stage(data, "clm").update(kind=["pretrain"]), ("stages.clm.kind: unknown kind",)),
    "missing key": (
        lambda data: stage(data, "clm").pop("max_steps"),
        ("stages.clm.max_steps: missing; expected a whole number at least 1",),
    ),
    "bad name": (
        lambda data: stage(data, "report").update(name="My Report"),
        ("stages.My Report.name", "a name of lower-case letters"),
    ),
    "no stages": (lambda data: data.update(stages=[]), ("stages: expected a list that is not empty",)),
    "stages is a mapping": (lambda data: data.update(stages={"a": 1}), ("stages: expected a list",)),
    "a stage is a word": (lambda data: data["stages"].append("slm"), ("expected a mapping with 'name' and 'kind'",)),
    "unknown source": (
        lambda data: stage(data, "web")["sources"][0].update(type="mini_word"),
        ("stages.web.sources.0.type", "did you mean 'mini_world'?"),
    ),
    "missing data file": (
        lambda data: stage(data, "web").update(sources=[{"type": "local", "path": "no/such.jsonl"}]),
        ("stages.web.sources.0.path", "no/such.jsonl", "does not exist"),
    ),
    "model given as a number": (
        lambda data: stage(data, "base").update(init=3),
        ("stages.base.init", "of kind pretrain or sft or a mapping", "got 3"),
    ),
    "model with a wrong key": (
        lambda data: stage(data, "base")["init"].update(hiden_size=4),
        ("stages.base.init.hiden_size", "did you mean 'hidden_size'?"),
    ),
    "half a step": (lambda data: stage(data, "clm").update(max_steps=2.5), ("stages.clm.max_steps", "got 2.5")),
    "a truth value as a ratio": (
        lambda data: stage(data, "slm")["selection"].update(ratio=True),
        ("stages.slm.selection.ratio", "a number greater than 0", "got True"),
    ),
    "a truth value as a number of steps": (
        lambda data: stage(data, "clm").update(max_steps=True),
        ("stages.clm.max_steps", "a whole number", "got True"),
    ),
    "a number in quotes": (
        lambda data: stage(data, "clm").update(batch_size="4"),
        ("stages.clm.batch_size", "a whole number", "got '4'"),
    ),
    "a batch that no machine has": (
        lambda data: stage(data, "clm").update(batch_size=10**20),
        ("stages.clm.batch_size", "a whole number at least 1 and at most 1e+07"),
    ),
    "negative seed": (
        lambda data: data.update(seed=-1),
        ("seed: expected a whole number at least 0 and at most 4e+09, got -1",),
    ),
    # --- rules between stages
    "missing stage": (
        lambda data: stage(data, "slm").update(corpus="wed"),
        ("stages.slm.corpus", "there is no stage 'wed'", "of kind corpus", "did you mean 'web'?"),
    ),
    "later stage": (
        lambda data: stage(data, "base").update(validation="base", init="slm"),
        ("stages.base.init", "comes later", "stages.base.validation", "cannot read itself"),
    ),
    "stage of another kind": (
        lambda data: stage(data, "slm")["selection"].update(token_scores="clm"),
        ("stages.slm.selection.token_scores", "is of kind pretrain", "earlier stage of kind score"),
    ),
    "score without token_scores": (
        lambda data: stage(data, "slm")["selection"].pop("token_scores"),
        ("stages.slm.selection.token_scores", "missing", "'excess_loss' needs"),
    ),
    "scores of another corpus": (
        lambda data: (
            data["stages"].insert(2, {**stage(data, "web"), "name": "other"}),
            stage(data, "slm").update(corpus="other"),
        ),
        ("stages.slm.selection.token_scores", "scores the corpus 'web'", "trains on 'other'"),
    ),
    "micro batch": (
        lambda data: stage(data, "slm").update(micro_batch_size=3),
        ("stages.slm.micro_batch_size", "3 does not divide batch_size 4"),
    ),
    "unevaluated pair": (
        lambda data: stage(data, "compare").update(pairs=[{"treatment": "base", "baseline": "cml"}]),
        ("stages.compare.pairs.0.treatment", "'base' is not evaluated", "pairs.0.baseline", "did you mean 'clm'?"),
    ),
    "pair with itself": (
        lambda data: stage(data, "compare").update(pairs=[{"treatment": "clm", "baseline": "clm"}]),
        ("stages.compare.pairs.0", "with itself"),
    ),
    "long blocks": (
        lambda data: stage(data, "web").update(block_size=128),
        ("stages.base.corpus", "128", "max_position_embeddings (64)"),
    ),
    "long context": (
        lambda data: stage(data, "eval").update(max_model_len=65),
        ("stages.eval.max_model_len", "(64)", "got 65"),
    ),
    "odd heads": (
        lambda data: stage(data, "base")["init"].update(num_attention_heads=3),
        ("stages.base.init.hidden_size", "num_attention_heads (3)"),
    ),
    "a warm-up longer than the training": (
        lambda data: stage(data, "slm")["optimizer"].update(warmup_steps=21),
        ("stages.slm.optimizer.warmup_steps", "21 steps does not end within max_steps (20)"),
    ),
    "a warm-up that leaves no room for the decay": (
        lambda data: stage(data, "slm")["optimizer"].update(schedule="wsd", warmup_steps=17),
        ("stages.slm.optimizer.warmup_steps", "17 steps and the decay over 4 steps", "max_steps (20)"),
    ),
    "a batch larger than the corpus": (
        lambda data: stage(data, "slm").update(batch_size=9),
        ("stages.slm.batch_size", "more than the num_blocks (8) of the corpus 'web'"),
    ),
    "more samples than can be listed": (
        lambda data: stage(data, "slm").update(max_steps=10**12),
        ("stages.slm.max_steps", "4e+12 samples", "at most 1e+11"),
    ),
    "a schedule that never comes to select": (
        lambda data: stage(data, "slm")["selection"].update(
            ratio={"schedule": "full_then", "ratio": 0.5, "steps": 20},
        ),
        ("stages.slm.selection.ratio.steps", "fewer than max_steps (20), got 20: nothing would ever be selected"),
    ),
    "too many checkpoints": (
        lambda data: stage(data, "slm").update(num_checkpoints=20),
        ("stages.slm.num_checkpoints", "fewer than max_steps (20)"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_told_with_file_key_and_remedy(recipe_file, case):
    edit, parts = CASES[case]
    path = recipe_file(edit)
    message = problems(path)
    assert str(path) in message
    for part in parts:
        assert part in message


def test_all_mistakes_are_told_at_once(recipe_file):
    together = ("unknown key", "ratio 1.5", "unknown kind", "missing data file", "micro batch", "unevaluated pair")

    def edit(data):
        for case in together:
            CASES[case][0](data)

    path = recipe_file(edit)
    message = problems(path, "stages.slmm.batch_size=3", "seed")
    for case in together:
        for part in CASES[case][1]:
            assert part in message
    assert "--set stages.slmm.batch_size=3: there is no stage 'slmm' (did you mean 'slm'?)" in message
    assert "--set seed: expected KEY=VALUE" in message
    assert "problems:" in message.splitlines()[0]


def test_two_stages_of_one_name_are_told_with_both_lines(tmp_path):
    path = tmp_path / "twice.yaml"
    text = SMALL.read_text().replace("name: slm", "name: clm")
    path.write_text(text)
    lines = [number for number, line in enumerate(text.splitlines(), start=1) if "- name: clm" in line]
    message = problems(path)
    assert f"{path}:{lines[1]}: stages.clm: two stages are called 'clm' (the other on line {lines[0]})" in message


def test_a_problem_is_placed_on_its_line(tmp_path):
    path = tmp_path / "line.yaml"
    text = SMALL.read_text().replace("max_steps: 20", "max_steps: 0", 1)
    path.write_text(text)
    line = next(number for number, line in enumerate(text.splitlines(), start=1) if "max_steps: 0" in line)
    assert f"{path}:{line}: stages.base.max_steps" in problems(path)
