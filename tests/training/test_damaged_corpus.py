"""A corpus and scores that were changed after they were written are refused by their readers, before these begin."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from world import SELECTION, link_shared, pretrain, run_stages, scored

from rho1bench.errors import DataError, ScoreStoreError

STAGES = [
    *scored(),
    pretrain("clm"),
    pretrain("checked", validation="held_out"),
    pretrain("slm", selection=SELECTION),
]


@pytest.mark.parametrize(
    ("damaged", "file", "reader"),
    [
        ("web", "blocks", "clm"),
        ("held_out", "blocks", "checked"),
        ("web", "blocks", "scores"),
        ("scores", "scores", "slm"),
    ],
)
def test_a_flipped_byte_is_refused_by_name(shared: Path, tmp_path: Path, damaged: str, file: str, reader: str) -> None:
    out = link_shared(shared, tmp_path)
    for name in (damaged, reader):
        (out / name).unlink(missing_ok=True)
    shutil.copytree(shared / damaged, out / damaged)
    path = out / damaged / f"{file}-00000.npy"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises((DataError, ScoreStoreError), match=rf"{damaged}/{file}-00000\.npy: is missing or was changed"):
        run_stages(STAGES, out, [reader])
    assert not list((out / reader).glob("*")), "nothing was begun"
