"""A corpus that was changed after its stage wrote it is refused by the stages that read it, before they begin."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from world import link_shared, pretrain, run_stages, scored

from rho1bench.errors import DataError

STAGES = [*scored(), pretrain("clm"), pretrain("checked", validation="held_out")]


@pytest.mark.parametrize(("damaged", "reader"), [("web", "clm"), ("held_out", "checked"), ("web", "scores")])
def test_a_flipped_byte_is_refused_by_name(shared: Path, tmp_path: Path, damaged: str, reader: str) -> None:
    out = link_shared(shared, tmp_path)
    for name in (damaged, reader):
        (out / name).unlink(missing_ok=True)
    shutil.copytree(shared / damaged, out / damaged)
    path = out / damaged / "blocks-00000.npy"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf"{damaged}/blocks-00000\.npy: is missing or was changed"):
        run_stages(STAGES, out, [reader])
    assert not list((out / reader).glob("*")), "nothing was begun"
