"""Data files: pinned, checked byte for byte, faults named by line, downloaded once."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import invented_data
import pytest

from rho1bench.errors import DataError
from rho1bench.evaluation.data import pinned_files as data_files
from rho1bench.evaluation.data.diagnose import LINE_HASHES, find_fault, line_hashes
from rho1bench.evaluation.data.math_sets import EXEMPLAR_FILES, MATH_SETS, TABLES, problems_to_lines
from rho1bench.evaluation.data.pinned_files import read_pinned, read_rows
from rho1bench.grading.paper.gold import TASKS
from rho1bench.system.data_root import use_data_folder
from rho1bench.system.files import read_json, sha256_bytes

PINS = [*(math_set.file for math_set in MATH_SETS.values()), *EXEMPLAR_FILES.values()]


def test_all_ten_sets_and_four_exemplar_files_are_pinned():
    assert (len(MATH_SETS), len(EXEMPLAR_FILES)) == (10, 4)
    assert tuple(MATH_SETS) == TASKS
    assert sum(math_set.num_rows for math_set in MATH_SETS.values()) == 13_468
    assert len({pin.sha256 for pin in PINS}) == len({pin.url_path for pin in PINS}) == 14
    assert [pin.place for pin in PINS if pin.repository is TABLES] == ["math/tabmwp/test.jsonl"]
    stored = read_json(LINE_HASHES)
    assert {m.file.place: m.num_rows for m in MATH_SETS.values()}.items() <= {
        place: len(digits) // 4 for place, digits in stored.items()
    }.items()
    assert set(stored) == {pin.place for pin in PINS}


# --- a local folder -------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of invented rows that fits the pins, in use."""
    invented_data.pin(monkeypatch)
    root = invented_data.write_folder(tmp_path / "data")
    monkeypatch.setenv("RHO1BENCH_DATA", str(root))
    return root


def test_a_right_folder_is_read(folder: Path):
    for name, math_set in MATH_SETS.items():
        assert read_rows(math_set) == invented_data.ROWS[name]
    for name, file in EXEMPLAR_FILES.items():
        assert read_pinned(file) == (folder / f"prompts/cot/{name}.md").read_bytes()


def edited(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[bytes], bytes]:
    return lambda data: b"\n".join(change(data.removesuffix(b"\n").split(b"\n"))) + b"\n"


def replaced(place: int, line: bytes) -> Callable[[bytes], bytes]:
    return edited(lambda lines: [*lines[:place], line, *lines[place + 1 :]])


FAULTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "flipped byte": (lambda data: data.replace(b"has 2 plums", b"has 3 plums"), "line 3: is not the original line"),
    "dropped row": (
        edited(lambda lines: lines[:1] + lines[2:]),
        "line 2: the line .* is missing .4 lines instead of 5",
    ),
    "dropped last row": (edited(lambda lines: lines[:-1]), "line 5: the line .* is missing .4 lines instead of 5"),
    "two rows dropped": (edited(lambda lines: lines[:-2]), "ends after line 3 .3 lines instead of 5"),
    "two rows gone": (edited(lambda lines: lines[:1] + lines[3:]), "line 2: is not the original.*3 lines instead of 5"),
    "extra row": (edited(lambda lines: [*lines[:4], lines[0], *lines[4:]]), "line 5: is one line too many .6 lines"),
    "doubled last row": (edited(lambda lines: [*lines, lines[-1]]), "line 6: is one line too many .6 lines"),
    "swapped rows": (edited(lambda lines: [*lines[:3], lines[4], lines[3]]), "line 4: is not the original line"),
    "broken JSON": (replaced(3, b'{"question": "Ana'), "line 4: not JSON .*column 14"),
    "torn end": (lambda data: data[:-9], "line 5: not JSON"),
    "blank line": (replaced(1, b""), "line 2: is blank"),
    "no object": (replaced(1, b"[1, 2]"), "line 2: a JSON object is expected, not '.1, 2.'"),
    "key gone": (replaced(4, b'{"question": "q", "idx": 4}'), "line 5: lacks the key 'answer'"),
    "not UTF-8": (replaced(2, b'{"question": "\xff"}'), "line 3: not UTF-8 .byte 15"),
    "Windows line ends": (lambda data: data.replace(b"\n", b"\r\n"), "line 1: ends in CR LF"),
    "no last newline": (lambda data: data[:-1], "all its lines look right"),
    "empty": (lambda data: b"", "the file is empty"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named_with_file_and_line(fault: str, folder: Path):
    spoil, message = FAULTS[fault]
    path = folder / "math" / "gsm8k" / "test.jsonl"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DataError, match=message) as caught:
        read_rows(MATH_SETS["gsm8k"])
    text = str(caught.value)
    assert text.startswith((f"{path}, line ", f"{path}: "))
    assert MATH_SETS["gsm8k"].file.sha256 in text
    assert "math-evaluation-harness@db77bc6 data/gsm8k/test.jsonl" in text
    assert "--data-root" in text


def test_exemplar_files_are_checked_too(folder: Path):
    path = folder / "prompts" / "cot" / "mathqa.md"
    path.write_bytes(path.read_bytes().replace(b"What is 2+1?", b"What is 2 + 1?"))
    with pytest.raises(DataError, match=r"mathqa\.md, line 16: is not the original line"):
        read_pinned(EXEMPLAR_FILES["mathqa"])


def test_missing_files_and_folders_say_what_belongs_there(folder: Path, tmp_path: Path):
    (folder / "math" / "svamp" / "test.jsonl").unlink()
    with pytest.raises(DataError, match=r"svamp/test.jsonl: no such file.*math/<data set>/test.jsonl.*downloaded"):
        read_rows(MATH_SETS["svamp"])
    (folder / "math" / "svamp" / "test.jsonl").mkdir()
    with pytest.raises(DataError, match=r"svamp/test.jsonl: cannot be read .Is a directory"):
        read_rows(MATH_SETS["svamp"])
    with pytest.raises(DataError, match=r"--data-root .*/nowhere: no such folder"):
        use_data_folder(tmp_path / "nowhere")


def test_an_option_wins_over_the_environment(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RHO1BENCH_DATA", str(tmp_path / "nowhere"))
    use_data_folder(None)
    with pytest.raises(DataError, match="nowhere"):
        read_rows(MATH_SETS["mawps"])
    use_data_folder(folder)
    assert len(read_rows(MATH_SETS["mawps"])) == 1


# --- downloads ------------------------------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """Serves ``files`` by path and keeps what was asked for."""

    files: dict[str, bytes]
    asked: list[str]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path = self.path.removeprefix("/")
        self.server.asked.append(path)
        data = self.server.files.get(path)
        self.send_response(404 if data is None else 200)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        self.wfile.write(data or b"")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of the invented files in place of the public one, and an empty cache."""
    invented_data.pin(monkeypatch)
    with Server(("127.0.0.1", 0), Handler) as running:
        running.files, running.asked = invented_data.public_files(), []
        monkeypatch.setattr(data_files, "SERVER", f"http://127.0.0.1:{running.server_address[1]}")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.delenv("RHO1BENCH_DATA", raising=False)
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_files_are_downloaded_once_and_the_cache_is_a_data_folder(server: Server, monkeypatch: pytest.MonkeyPatch):
    for _ in range(2):
        for name, math_set in MATH_SETS.items():
            assert read_rows(math_set) == invented_data.ROWS[name]
        for file in EXEMPLAR_FILES.values():
            read_pinned(file)
    assert sorted(server.asked) == sorted(pin.url_path for pin in PINS)
    cache = data_files.cache_folder()
    found = {str(path.relative_to(cache)): path.read_bytes() for path in cache.rglob("*") if path.is_file()}
    assert found == invented_data.contents()
    monkeypatch.setenv("RHO1BENCH_DATA", str(cache))
    assert len(read_rows(MATH_SETS["tabmwp"])) == 2


def test_what_is_not_the_pinned_file_is_refused_and_not_stored(server: Server):
    math_set = MATH_SETS["mawps"]
    server.files[math_set.file.url_path] += b" "
    with pytest.raises(DataError, match=rf"{math_set.file.url_path}: what came .* expected is {math_set.file.sha256}"):
        read_rows(math_set)
    assert not [path for path in data_files.cache_folder().rglob("*") if path.is_file()]


def test_a_damaged_cache_is_replaced(server: Server):
    math_set = MATH_SETS["mawps"]
    read_rows(math_set)
    path = data_files.cache_folder() / math_set.file.place
    path.write_bytes(b"{}")
    assert read_rows(math_set) == invented_data.ROWS["mawps"]
    assert sha256_bytes(path.read_bytes()) == math_set.file.sha256
    assert len(server.asked) == 2


def test_offline_the_way_out_is_named(server: Server, monkeypatch: pytest.MonkeyPatch):
    del server.files[MATH_SETS["mawps"].file.url_path]
    with pytest.raises(DataError, match=r"cannot be downloaded \(Not Found\).*--data-root FOLDER or RHO1BENCH_DATA"):
        read_rows(MATH_SETS["mawps"])
    read_rows(MATH_SETS["svamp"])
    monkeypatch.setattr(data_files, "SERVER", "http://127.0.0.1:9")
    with pytest.raises(DataError, match=r"cannot be downloaded \(.*refused\)"):
        read_rows(MATH_SETS["gsm8k"])
    assert len(read_rows(MATH_SETS["svamp"])) == 2


def test_a_cache_that_cannot_be_written_is_named(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot be stored .Not a directory.*XDG_CACHE_HOME"):
        read_rows(MATH_SETS["mawps"])


# --- the real data --------------------------------------------------------------------------------------------------


@pytest.fixture
def real(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RHO1BENCH_DATA", str(shared_data / "data"))
    return shared_data / "data"


def test_the_pins_fit_the_real_files(real: Path):
    assert {name: len(read_rows(math_set)) for name, math_set in MATH_SETS.items()} == {
        name: math_set.num_rows for name, math_set in MATH_SETS.items()
    }
    stored = read_json(LINE_HASHES)
    assert {pin.place: "".join(line_hashes((real / pin.place).read_bytes())) for pin in PINS} == stored


def test_the_real_public_table_file_gives_the_real_rows(real: Path):
    rows = read_rows(MATH_SETS["tabmwp"])
    public = json.dumps({row.pop("idx"): row for row in rows}, indent=2).encode()
    file = MATH_SETS["tabmwp"].file
    assert sha256_bytes(public) == file.download_sha256
    assert sha256_bytes(problems_to_lines(public)) == file.sha256


@pytest.mark.parametrize("name", MATH_SETS)
def test_any_changed_dropped_or_added_real_row_is_found(name: str, real: Path):
    math_set = MATH_SETS[name]
    data = (real / math_set.file.place).read_bytes()
    rows = data.removesuffix(b"\n").split(b"\n")
    chance = random.Random(name)
    for _ in range(4):
        place, byte = chance.randrange(len(rows)), chance.randrange(1 << 20)
        line = bytearray(rows[place])
        line[byte % len(line)] ^= 1
        spoilt = {
            f", line {place + 1}: ": replaced(place, bytes(line)),
            f", line {place + 1}: the line that belongs here is missing": edited(
                lambda lines, at=place: lines[:at] + lines[at + 1 :]
            ),
            f", line {place + 1}: is one line too many": edited(
                lambda lines, at=place: [*lines[:at], lines[at - 7], *lines[at:]]
            ),
        }
        for message, spoil in spoilt.items():
            assert find_fault(spoil(data), math_set.file.place, math_set.keys).startswith(message)
