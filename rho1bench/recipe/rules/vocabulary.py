"""Rules about vocabularies: weights, corpora and scores of one chain must read with one tokenizer (paper table 5)."""

from __future__ import annotations

from rho1bench.recipe.rules.raw import Json, Messages, as_dict, as_int, first_init, named, positions, tokenizer_of
from rho1bench.sizing.shapes import VOCABULARIES


def check_init_vocabulary(stage: Json, earlier: Json) -> Messages:
    """Weights fit only the vocabulary that they were trained with."""
    tokenizer = tokenizer_of(stage, earlier)
    if tokenizer is None:
        return
    model, start = as_dict(stage.get("init")).get("pretrained"), stage.get("init")
    if isinstance(model, str):
        message = _unlike(model, earlier[tokenizer], tokenizer)
        if message:
            yield ("init", "pretrained"), message
    origin = tokenizer_of(named(earlier, start), earlier)
    if origin is not None and not _same(earlier[origin], earlier[tokenizer]):
        yield ("init",), f"the stage {start!r} reads with the tokenizer {origin!r}, this stage with {tokenizer!r}"


def check_validation_vocabulary(stage: Json, earlier: Json) -> Messages:
    """The held-out corpus is packed with the tokenizer of the training corpus."""
    ours, theirs = tokenizer_of(stage, earlier), tokenizer_of({"corpus": stage.get("validation")}, earlier)
    if ours is not None and theirs is not None and not _same(earlier[ours], earlier[theirs]):
        yield ("validation",), f"is packed with the tokenizer {theirs!r}, the training corpus with {ours!r}"


def check_scoring(stage: Json, earlier: Json) -> Messages:
    """A reference scores what it can read: its own vocabulary, and blocks no longer than its context.

    This is what weak-to-strong asks for: the small reference and the large model share one vocabulary.
    """
    corpus, tokenizer = named(earlier, stage.get("corpus")), tokenizer_of(stage, earlier)
    reference = stage.get("reference")
    if (reference is None) == (stage.get("server") is None):
        yield ("reference",), "expected either a reference or a server that scores, not both"
    pretrained = as_dict(reference).get("pretrained")
    trained = named(earlier, reference)
    origin = tokenizer_of(trained, earlier)
    if tokenizer is not None and isinstance(pretrained, str):
        message = _unlike(pretrained, earlier[tokenizer], tokenizer)
        if message:
            yield ("reference", "pretrained"), message
    if tokenizer is not None and origin is not None and not _same(earlier[origin], earlier[tokenizer]):
        yield (
            ("reference",),
            f"{reference!r} reads with the tokenizer {origin!r}, but the corpus {stage['corpus']!r} is packed with "
            f"{tokenizer!r}; a reference and the model that it selects for share one vocabulary",
        )
    limit, block = positions({"init": reference}, earlier), as_int(corpus.get("block_size"))
    if limit and block and block > limit:
        yield ("corpus",), f"its blocks of {block} tokens are longer than the reference reads ({limit})"


def check_reference_of_model(stage: Json, earlier: Json) -> Messages:
    """Tokens selected for one vocabulary mean nothing to a model of another."""
    for key in ("selection", "monitor"):
        scores = named(earlier, as_dict(stage.get(key)).get("token_scores"))
        reference = first_init({"init": scores.get("reference")}, earlier).get("pretrained")
        model = first_init(stage, earlier).get("pretrained")
        ours, theirs = VOCABULARIES.get(str(model)), VOCABULARIES.get(str(reference))
        if ours is not None and theirs is not None and ours != theirs:
            yield (
                (key, "token_scores"),
                f"its reference {reference} has the vocabulary of {theirs}, this stage's model {model} that of {ours}; "
                "they must share one",
            )


def _unlike(model: str, tokenizer: Json, name: str) -> str:
    """Return a complaint where the weights of ``model`` surely do not fit the tokenizer stage."""
    pretrained = tokenizer.get("pretrained")
    if not isinstance(pretrained, str):
        return (
            f"the weights of {model} fit its own vocabulary only, but the tokenizer {name!r} is trained here; "
            f"give that stage `pretrained: {model}` instead of sources"
        )
    ours, theirs = VOCABULARIES.get(model), VOCABULARIES.get(pretrained)
    if ours is not None and theirs is not None and ours != theirs:
        return f"{model} has the vocabulary of {ours}, but the tokenizer {name!r} ({pretrained}) that of {theirs}"
    return ""


def _same(one: Json, other: Json) -> bool:
    if one is other:
        return True
    names = (one.get("pretrained"), other.get("pretrained"))
    known = [VOCABULARIES.get(str(name), name) for name in names]
    return None not in names and known[0] == known[1]
