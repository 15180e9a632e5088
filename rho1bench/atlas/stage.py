"""Stage ``atlas`` and ``rho1bench atlas``: a page of the tokens of a corpus, seen by models and rules (section 5).

Reads a packed corpus, its stored reference scores and checkpoints of a run; each checkpoint is asked once about the
atlas's tokens. The stage writes ``publish/atlas.html``, which the runner copies to the top of the run's folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rho1bench.analysis.checkpoint_scores import checkpoint_scores
from rho1bench.atlas.columns import Floats
from rho1bench.atlas.measures import REFERENCE, Column, RuleRanks, model_columns, reference_scores
from rho1bench.atlas.page import Atlas, write_page
from rho1bench.atlas.request import AtlasRequest, RuleUse, further_rules
from rho1bench.atlas.text import AtlasText, read_text, vocabulary_of
from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.corpus.tokenizer import special_tokens
from rho1bench.pipeline.inputs import check_made_by_stage
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import AtlasStage, CorpusStage
from rho1bench.recipe.models.atlas import ATLAS_PAGE
from rho1bench.selection.score_store import TokenScores
from rho1bench.system.progress import Progress


@dataclass(frozen=True)
class AtlasFacts:
    """What a written atlas holds."""

    num_tokens: int
    num_documents: int
    columns: list[str]
    bytes: int
    """Of the page and its chunks."""


def run(context: StageContext) -> None:
    """Write the page; raises CheckpointError, ScoreStoreError or DataError for what does not fit together."""
    stage = context.config(AtlasStage)
    packed = context.recipe.stage(stage.corpus, CorpusStage)
    rules = [RuleUse(name) for name in stage.rules]
    request = AtlasRequest(
        corpus=context.input(stage.corpus),
        tokenizer=context.input(packed.tokenizer) / "tokenizer",
        stores={name: context.input(of) for name, of in stage.stores.items()},
        checkpoints={name: context.input(name) / "checkpoint" for name in stage.checkpoints},
        rules=rules,
        further_rules=[] if rules else further_rules(rules),
        num_tokens=stage.num_tokens,
        ratio=stage.ratio,
        batch_size=stage.batch_size,
        seed=context.seed,
    )
    title = f"{context.recipe.name}, seed {context.seed}: tokens of {stage.corpus}"
    links = [("Report", "report.html")]
    write_atlas(context.folder / "publish" / ATLAS_PAGE, request, title, context.progress, links)


def run_atlas(path: Path, request: AtlasRequest, title: str) -> AtlasFacts:
    """Carry out ``rho1bench atlas``: check what is read, then write the page. Raises as :func:`run` does."""
    for folder in (request.tokenizer, *request.checkpoints.values()):
        check_made_by_stage(folder)
    progress = Progress("atlas")
    try:
        return write_atlas(path, request, title, progress)
    finally:
        progress.close()


def write_atlas(
    path: Path, request: AtlasRequest, title: str, progress: Progress, links: list[tuple[str, str]] | None = None
) -> AtlasFacts:
    """Write an atlas and return what it holds."""
    corpus = PackedCorpus(request.corpus)
    corpus.check_files()
    stores = {name: TokenScores(folder) for name, folder in request.stores.items()}
    for store in stores.values():
        store.check_files()
        store.check(corpus)
    eos = special_tokens(request.tokenizer).eos
    text = read_text(corpus, request.num_tokens, eos)
    checkpoints = _scores(request, corpus, text, progress)
    ranks = RuleRanks(corpus, text, stores, eos, request.seed)
    columns = list(_columns(request, text, stores, checkpoints, ranks))
    atlas = Atlas(
        text, vocabulary_of(text), request.tokenizer, request.corpus.name, list(checkpoints), columns, request.ratio
    )
    write_page(path, atlas, title, links or [])
    chunks = path.parent / f"{path.stem}_files"
    size = path.stat().st_size + sum(file.stat().st_size for file in chunks.glob("*.js"))
    names = [" of ".join(filter(None, (f"{one.kind} {one.of}", one.at))) for one in columns]
    return AtlasFacts(text.num_tokens, int(text.numbers[-1]) + 1, names, size)


def _scores(request: AtlasRequest, corpus: PackedCorpus, text: AtlasText, progress: Progress) -> dict[str, Floats]:
    """Ask every checkpoint about the blocks: loss and entropy, (B, T, 2)."""
    found: dict[str, Floats] = {}
    progress.start(len(text.blocks) * len(request.checkpoints), "blocks")
    for number, (label, folder) in enumerate(request.checkpoints.items()):

        def report(done: int, before: int = number * len(text.blocks)) -> None:
            progress.update(before + done, tokens=(before + done) * corpus.block_size)

        found[label] = checkpoint_scores(folder, corpus, text.blocks, batch_size=request.batch_size, report=report)
    return found


def _columns(
    request: AtlasRequest,
    text: AtlasText,
    stores: Mapping[str, TokenScores],
    checkpoints: Mapping[str, Floats],
    ranks: RuleRanks,
) -> Iterator[Column]:
    for label, scores in checkpoints.items():
        yield from model_columns(label, scores)
    if REFERENCE in stores:
        yield from model_columns(REFERENCE, reference_scores(stores[REFERENCE], text.blocks))
    for use in request.rules:
        yield from ranks.columns(use, checkpoints)
    for use in request.further_rules:
        yield from ranks.columns(use, checkpoints, required=False)
