"""Rules about vocabularies: weights, corpora and scores of one chain must read with one tokenizer (paper table 5)."""

from __future__ import annotations

from rho1bench.recipe.models.base import PretrainedModel
from rho1bench.recipe.models.corpus import CorpusStage, TokenizerStage
from rho1bench.recipe.models.selection import ScoreStage
from rho1bench.recipe.models.training import ModelConfig, PretrainStage, TrainStage
from rho1bench.recipe.rules.rule import Earlier, Problems, rule
from rho1bench.recipe.rules.training import positions, positions_of_model, score_stages
from rho1bench.sizing.shapes import VOCABULARIES


@rule(TrainStage)
def weights_fit_the_tokenizer(stage: TrainStage, earlier: Earlier) -> Problems:
    """Weights fit only the vocabulary that they were trained with."""
    tokenizer = stage.tokenizer_stage(earlier)
    if isinstance(stage.init, PretrainedModel):
        message = _unlike(stage.init.pretrained, tokenizer)
        if message:
            yield ("init", "pretrained"), message
    elif isinstance(stage.init, str):
        origin = earlier.stage(stage.init, TrainStage).tokenizer_stage(earlier)
        if not _same(origin, tokenizer):
            yield (
                ("init",),
                f"the stage {stage.init!r} reads with the tokenizer {origin.name!r}, this stage with "
                f"{tokenizer.name!r}",
            )


@rule(PretrainStage)
def validation_has_the_vocabulary(stage: PretrainStage, earlier: Earlier) -> Problems:
    """The held-out corpus is packed with the tokenizer of the training corpus."""
    if stage.validation is None:
        return
    ours, theirs = stage.tokenizer_stage(earlier), _tokenizer_of(earlier.stage(stage.validation, CorpusStage), earlier)
    if not _same(ours, theirs):
        yield ("validation",), f"is packed with the tokenizer {theirs.name!r}, the training corpus with {ours.name!r}"


@rule(ScoreStage)
def one_model_scores(stage: ScoreStage, earlier: Earlier) -> Problems:
    """A reference or a server scores."""
    if (stage.reference is None) == (stage.server is None):
        yield ("reference",), "expected either a reference or a server that scores, not both"


@rule(ScoreStage)
def reference_reads_the_vocabulary(stage: ScoreStage, earlier: Earlier) -> Problems:
    """A reference scores what it can read.

    This is what weak-to-strong asks for: the small reference and the large model share one vocabulary.
    """
    tokenizer = _tokenizer_of(earlier.stage(stage.corpus, CorpusStage), earlier)
    if isinstance(stage.reference, PretrainedModel):
        message = _unlike(stage.reference.pretrained, tokenizer)
        if message:
            yield ("reference", "pretrained"), message
    elif stage.reference is not None:
        origin = earlier.stage(stage.reference, TrainStage).tokenizer_stage(earlier)
        if not _same(origin, tokenizer):
            yield (
                ("reference",),
                f"{stage.reference!r} reads with the tokenizer {origin.name!r}, but the corpus {stage.corpus!r} is "
                f"packed with {tokenizer.name!r}; a reference and the model that it selects for share one vocabulary",
            )


@rule(ScoreStage)
def reference_reads_the_blocks(stage: ScoreStage, earlier: Earlier) -> Problems:
    """A reference reads blocks no longer than its context."""
    if stage.reference is None:
        return
    block = earlier.stage(stage.corpus, CorpusStage).block_size
    if isinstance(stage.reference, PretrainedModel):
        limit = positions_of_model(stage.reference)
    else:
        limit = positions(earlier.stage(stage.reference, TrainStage), earlier)
    if limit and block > limit:
        yield ("corpus",), f"its blocks of {block} tokens are longer than the reference reads ({limit})"


@rule(PretrainStage)
def reference_and_model_share_a_vocabulary(stage: PretrainStage, earlier: Earlier) -> Problems:
    """Tokens selected for one vocabulary mean nothing to a model of another."""
    model = _pretrained(stage.first_init(earlier))
    for path, _, scores in score_stages(stage, earlier):
        if scores.reference is None:
            continue
        first = scores.reference
        if isinstance(first, str):
            reference = _pretrained(earlier.stage(first, TrainStage).first_init(earlier))
        else:
            reference = first.pretrained
        ours, theirs = VOCABULARIES.get(model), VOCABULARIES.get(reference)
        if ours is not None and theirs is not None and ours != theirs:
            yield (
                path,
                f"its reference {reference} has the vocabulary of {theirs}, this stage's model {model} that of {ours}; "
                "they must share one",
            )


def _tokenizer_of(corpus: CorpusStage, earlier: Earlier) -> TokenizerStage:
    return earlier.stage(corpus.tokenizer, TokenizerStage)


def _pretrained(model: ModelConfig | PretrainedModel) -> str:
    """Return the name of given weights; empty for random ones."""
    return model.pretrained if isinstance(model, PretrainedModel) else ""


def _unlike(model: str, tokenizer: TokenizerStage) -> str:
    """Return a complaint where the weights of ``model`` surely do not fit the tokenizer stage."""
    pretrained = tokenizer.pretrained
    if pretrained is None:
        return (
            f"the weights of {model} fit its own vocabulary only, but the tokenizer {tokenizer.name!r} is trained "
            f"here; give that stage `pretrained: {model}` instead of sources"
        )
    ours, theirs = VOCABULARIES.get(model), VOCABULARIES.get(pretrained)
    if ours is not None and theirs is not None and ours != theirs:
        return (
            f"{model} has the vocabulary of {ours}, but the tokenizer {tokenizer.name!r} ({pretrained}) that of "
            f"{theirs}"
        )
    return ""


def _same(one: TokenizerStage, other: TokenizerStage) -> bool:
    if one is other:
        return True
    names = [stage.pretrained for stage in (one, other) if stage.pretrained is not None]
    known = [VOCABULARIES.get(name, name) for name in names]
    return len(known) == 2 and known[0] == known[1]
