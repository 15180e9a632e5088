"""Golden loss curves of a tiny run on text that this file makes itself, so that only a change of method moves them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import world

from rho1bench.system.files import read_jsonl

# Losses after steps 2, 4, ... 12, as measured with torch 2.13 on an x86-64 CPU with AVX-512, one thread.
GOLDEN = {
    "clm": [
        5.411418318748474, 5.267700266330801, 5.03598219409902,
        4.807649715783748, 4.686269202130906, 4.629339244137419,
    ],
    "slm": [
        5.393298312293159, 5.260445170932346, 5.08934494972229,
        4.878412125905355, 4.835818026860555, 4.8054833708869085,
    ],
    "slm_sequence": [
        5.332215525209904, 5.164257306073393, 4.907054706343582,
        4.648514514522893, 4.510374607784407, 4.454441580389227,
    ],
}  # fmt: skip
# Another CPU or BLAS sums in another order; a change of method is far larger.
TOLERANCE = 2e-4


def write_documents(path: Path) -> None:
    rng = random.Random("golden")
    lines = []
    for _ in range(400):
        a, b = rng.randrange(50), rng.randrange(50)
        noise = " ".join(
            rng.choice(["login", "cookie", "share", "reply", f"id{rng.randrange(1000)}"]) for _ in range(5)
        )
        lines.append(json.dumps({"text": f"Question: {a} plus {b}?\nAnswer: The answer is {a + b}.\n{noise}\n"}))
    path.write_text("\n".join(lines) + "\n")


def test_losses_to_full_digits(tmp_path: Path) -> None:
    write_documents(tmp_path / "docs.jsonl")
    sources = [{"type": "local", "path": str(tmp_path / "docs.jsonl")}]
    stages = [
        {"name": "tokens", "kind": "tokenizer", "vocab_size": 300, "sources": sources},
        {"name": "web", "kind": "corpus", "tokenizer": "tokens", "block_size": 48, "sources": sources},
        world.pretrain("base", init=world.MODEL, max_steps=4),
        world.pretrain("reference", max_steps=20),
        {"name": "scores", "kind": "score", "reference": "reference", "corpus": "web"},
        world.pretrain("clm"),
        world.pretrain("slm", selection=world.SELECTION),
        world.pretrain("slm_sequence", selection={**world.SELECTION, "scope": "sequence", "score": "reference_loss"}),
    ]
    folders = world.run_stages(stages, tmp_path)
    found = {
        name: [row["loss"] for row in read_jsonl(folders[name] / "metrics.jsonl")]
        for name in ("clm", "slm", "slm_sequence")
    }
    assert list(found) == list(GOLDEN)
    for name, losses in found.items():
        assert losses == pytest.approx(GOLDEN[name], abs=TOLERANCE), name
