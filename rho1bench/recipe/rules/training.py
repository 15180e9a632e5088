"""Rules about training stages and corpora: batches, budgets, selections, shapes, lengths."""

from __future__ import annotations

from rho1bench.recipe.models.score_names import BUILT_IN
from rho1bench.recipe.rules.raw import Json, Messages, as_dict, as_int, as_list, named, positions


def check_batch(stage: Json, earlier: Json) -> Messages:
    """An optimizer step is whole micro-batches on every process."""
    batch, micro = as_int(stage.get("batch_size")), as_int(stage.get("micro_batch_size"))
    processes = as_int(as_dict(stage.get("distributed")).get("num_processes"))
    steps = as_int(stage.get("max_steps"))
    if batch and micro and batch % micro:
        yield ("micro_batch_size",), f"{micro} does not divide batch_size {batch}"
    elif batch and processes and batch % (processes * (micro or 1)):
        what = f"{processes} processes" + (f" x micro_batch_size {micro}" if micro else "")
        yield ("batch_size",), f"{batch} is no multiple of {what}"
    if steps and (as_int(stage.get("num_checkpoints")) or 0) >= steps:
        yield ("num_checkpoints",), f"expected fewer than max_steps ({steps}), got {stage['num_checkpoints']}"


def check_precision(stage: Json, earlier: Json) -> Messages:
    """Flash attention has no float32 kernel."""
    if stage.get("attention") == "flash_attention_2" and stage.get("precision", "fp32") == "fp32":
        yield ("attention",), "flash_attention_2 needs precision: bf16; or use sdpa"


def check_budget(stage: Json, earlier: Json) -> Messages:
    """A corpus holds at least one batch of the stage that trains on it."""
    corpus, batch = named(earlier, stage.get("corpus")), as_int(stage.get("batch_size"))
    block, tokens = as_int(corpus.get("block_size")), as_int(corpus.get("num_tokens"))
    if block and tokens and batch and tokens < batch * block:
        yield (
            ("batch_size",),
            f"a batch of {batch} blocks has {batch * block} tokens, more than the num_tokens ({tokens}) of the corpus "
            f"{stage['corpus']!r}",
        )


def check_corpus(stage: Json, earlier: Json) -> Messages:
    """One budget, of at least a block; a weight for every source or for none."""
    block, tokens = as_int(stage.get("block_size")), as_int(stage.get("num_tokens"))
    if tokens and stage.get("num_blocks") is not None:
        yield ("num_tokens",), "stands beside num_blocks; give one of them"
    if tokens and block and tokens < block:
        yield ("num_tokens",), f"expected at least one block ({block}), got {tokens}"
    sources = [as_dict(source) for source in as_list(stage.get("sources"))]
    without = [index for index, source in enumerate(sources) if source.get("weight") is None]
    if without and len(without) < len(sources):
        yield ("sources", str(without[0]), "weight"), "missing; give every source a weight, or none of them"


def check_selection(stage: Json, earlier: Json) -> Messages:
    """Stored scores are there, and are those of the corpus that the stage trains on."""
    for key in ("selection", "monitor"):
        selection = as_dict(stage.get(key))
        if not selection:
            continue
        reading = [score for score in _scores(selection) if BUILT_IN.get(score)]
        scores = selection.get("token_scores")
        if stage["kind"] == "sft":
            if reading and stage.get("reference") is None:
                yield ("reference",), f"missing; the score {reading[0]!r} needs a model that scores the samples"
            continue
        if reading and scores is None:
            yield (key, "token_scores"), f"missing; the score {reading[0]!r} needs the name of an earlier score stage"
        if "reference_entropy" in reading and named(earlier, scores).get("server") is not None:
            yield (key, "token_scores"), f"the scores of {scores!r} are a server's, which tells no entropies"
        corpus = named(earlier, scores).get("corpus")
        if corpus and isinstance(stage.get("corpus"), str) and corpus != stage["corpus"]:
            yield (
                (key, "token_scores"),
                f"the stage {scores!r} scores the corpus {corpus!r}, but this stage trains on {stage['corpus']!r}",
            )


def _scores(selection: Json) -> list[str]:
    parts = [part for key in ("all_of", "any_of") for part in as_list(selection.get(key))]
    found = [as_dict(part).get("score") for part in parts] or [selection.get("score", "excess_loss")]
    return [score for score in found if isinstance(score, str)]


def check_model(stage: Json, earlier: Json) -> Messages:
    """Heads divide the hidden size, groups divide the heads."""
    model = as_dict(stage.get("init"))
    hidden, heads = as_int(model.get("hidden_size")), as_int(model.get("num_attention_heads"))
    groups = as_int(model.get("num_key_value_heads"))
    if hidden and heads and (hidden % heads or hidden // heads % 2):
        yield ("init", "hidden_size"), f"{hidden} is not an even multiple of num_attention_heads ({heads})"
    if heads and groups and heads % groups:
        yield ("init", "num_key_value_heads"), f"{groups} does not divide num_attention_heads ({heads})"


def check_pretrain_length(stage: Json, earlier: Json) -> Messages:
    """Blocks fit the model's context."""
    limit = positions(stage, earlier)
    for key in ("corpus", "validation"):
        block = as_int(named(earlier, stage.get(key)).get("block_size"))
        if limit and block and block > limit:
            yield (
                (key,),
                f"its blocks of {block} tokens are longer than the model's max_position_embeddings ({limit})",
            )


def check_sft_length(stage: Json, earlier: Json) -> Messages:
    """Samples fit the model's context."""
    limit, length = positions(stage, earlier), as_int(stage.get("max_length"))
    if limit and length and length > limit:
        yield ("max_length",), f"expected at most the model's max_position_embeddings ({limit}), got {length}"
