"""The lock file: commits of a local stand-in of the hub, written by ``plan --resolve`` and read with the recipe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from rho1bench.cli.app import app
from rho1bench.errors import RecipeError
from rho1bench.recipe import CorpusStage, HubSource, TokenizerStage
from rho1bench.recipe.loading.load import load_recipe

RECIPE = """
name: pinned
stages:
  - {name: tokenizer, kind: tokenizer, pretrained: org/model}
  - name: corpus
    kind: corpus
    tokenizer: tokenizer
    block_size: 64
    num_blocks: 10
    sources:
      - {type: hub, dataset: org/set}
      - {type: hub, dataset: org/set, revision: v1}
      - {type: hub, dataset: org/other, revision: 0123abc}
"""
COMMITS = {
    "/api/models/org/model": "a" * 40,
    "/api/datasets/org/set": "b" * 40,
    "/api/datasets/org/set/revision/v1": "c" * 40,
    "/api/datasets/org/other/revision/0123abc": "d" * 40,
}


class Hub(BaseHTTPRequestHandler):
    gone: tuple[str, ...] = ()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        is_there = path in COMMITS and path not in self.gone
        body = json.dumps({"id": "org/x", "sha": COMMITS[path]} if is_there else {"error": "not found"}).encode()
        self.send_response(200 if is_there else 404)
        if not is_there:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(Hub, "gone", ())
    yield Hub
    server.shutdown()
    server.server_close()


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "pinned.yaml"
    path.write_text(RECIPE)
    return path


def revisions(recipe: Path) -> list[str | None]:
    loaded = load_recipe(str(recipe))
    sources = loaded.stage("corpus", CorpusStage).sources
    found = [source.revision for source in sources if isinstance(source, HubSource)]
    return [loaded.stage("tokenizer", TokenizerStage).revision, *found]


def test_what_has_no_revision_gets_the_commit_of_the_lock(hub: type[Hub], recipe: Path) -> None:
    assert revisions(recipe) == [None, None, "v1", "0123abc"]
    done = CliRunner().invoke(app, ["plan", str(recipe), "--resolve"])
    assert done.exit_code == 0, done.output
    assert "pinned.lock.json" in done.output
    lock = json.loads((recipe.parent / "pinned.lock.json").read_text())
    assert lock == {"datasets": {"org/other": "d" * 40, "org/set": "b" * 40}, "models": {"org/model": "a" * 40}}
    assert revisions(recipe) == ["a" * 40, "b" * 40, "v1", "0123abc"]


def test_what_the_hub_does_not_have_is_named_and_nothing_is_written(hub: type[Hub], recipe: Path) -> None:
    hub.gone = ("/api/datasets/org/set",)
    done = CliRunner().invoke(app, ["plan", str(recipe), "--resolve"])
    assert done.exit_code != 0
    assert "datasets/org/set: is not on the hub" in f"{done.exception} {done.output}"
    assert not (recipe.parent / "pinned.lock.json").exists()


@pytest.mark.parametrize("text", ["[", "[]", '{"models": []}', '{"spaces": {}}', '{"models": {"a": 1}}'])
def test_a_broken_lock_file_is_one_message(recipe: Path, text: str) -> None:
    (recipe.parent / "pinned.lock.json").write_text(text)
    with pytest.raises(RecipeError, match=r"pinned\.lock\.json: not a lock file"):
        load_recipe(str(recipe))
