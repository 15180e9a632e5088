"""Rules between stages on the recipes of the paper: vocabularies, contexts, budgets, processes, joined selections."""

from __future__ import annotations

import pytest
from small_recipe import problems

from rho1bench.recipe.loading.load import load_recipe

MISTRAL, LLAMA = "mistralai/Mistral-7B-v0.1", "meta-llama/Llama-2-7b-hf"
TRAINED = (
    "{name: tokenizer, kind: tokenizer, vocab_size: 512, sources: [{type: mini_world, text: web, num_documents: 9}]}"
)
SERVER = "{base_url: 'http://localhost:8000/v1', model: m}"
LOSS, ENTROPY = "{score: reference_loss, ratio: 0.5}", "{score: reference_entropy, ratio: 0.5}"

RULES = {
    "another model's vocabulary": (
        "math_1b",
        [f"stages.tokenizer.pretrained={MISTRAL}"],
        ("stages.reference.init.pretrained", "stages.slm.init.pretrained", "of Llama 2", "that of Mistral 0.1"),
    ),
    "a trained tokenizer for given weights": (
        "math_1b",
        [f"stages.tokenizer={TRAINED}"],
        ("stages.clm.init.pretrained", "fit its own vocabulary only", "instead of sources"),
    ),
    "weak to strong over two vocabularies": (
        "weak_to_strong",
        [f"stages.slm.init.pretrained={MISTRAL}"],
        ("stages.slm.selection.token_scores", "the vocabulary of Llama 2", "that of Mistral 0.1", "must share one"),
    ),
    "blocks longer than the reference reads": (
        "weak_to_strong",
        ["stages.corpus.block_size=4096"],
        ("stages.scores.corpus: its blocks of 4096 tokens are longer than the reference reads (2048)",),
    ),
    "blocks longer than given weights read": (
        "math_1b",
        ["stages.curated.block_size=4096"],
        ("stages.reference.corpus", "4096", "max_position_embeddings (2048)"),
    ),
    "a context longer than given weights have": (
        "math_1b",
        ["stages.eval.max_model_len=4096"],
        ("stages.eval.max_model_len", "(2048)", "got 4096"),
    ),
    "a task of two suites with two limits": (
        "quickstart",
        ["stages.eval.evaluations.1.limit=20"],
        ("stages.eval.evaluations.1.limit: mini_general15 and mini_math9 share the task mini_gsm8k, which 'clm' is",),
    ),
    "copies of a model that the engine does not make": (
        "math_1b",
        ["stages.eval.engine=hf", "stages.eval.data_parallel_size=2"],
        ("stages.eval.data_parallel_size: the engine hf has one copy of the model", "engine: vllm"),
    ),
    "a budget of less than a block": (
        "math_1b",
        ["stages.corpus.num_tokens=2047"],
        ("stages.corpus.num_tokens: expected at least one block (2048), got 2047",),
    ),
    "a budget of less than a batch": (
        "math_1b",
        ["stages.corpus.num_tokens=1000000"],
        ("stages.slm.batch_size: a batch of 512 blocks has 1048576 tokens, more than the num_tokens (1000000)",),
    ),
    "two budgets": ("math_1b", ["stages.corpus.num_blocks=7"], ("stages.corpus", "num_blocks or num_tokens, not both")),
    "some weights": (
        "general_1b",
        ["stages.corpus.sources.1.weight=null"],
        ("stages.corpus", "every source a weight, or none"),
    ),
    "flash attention in float32": (
        "math_1b",
        ["stages.slm.attention=flash_attention_2", "stages.slm.precision=fp32"],
        ("stages.slm.attention: flash_attention_2 needs precision: bf16",),
    ),
    "float8 in float32": (
        "math_1b",
        ["stages.slm.float8=rowwise", "stages.slm.precision=fp32"],
        ("stages.slm.float8: needs precision: bf16",),
    ),
    "float8 beside DeepSpeed": (
        "math_1b",
        ["stages.slm.float8=tensorwise", "stages.slm.distributed.strategy=deepspeed"],
        ("stages.slm.float8: does not go with distributed.strategy: deepspeed; use ddp or fsdp2",),
    ),
    "an intersection with a ratio of its own": (
        "math_1b",
        [f"stages.slm.selection={{all_of: [{LOSS}, {ENTROPY}], ratio: 0.4, token_scores: scores}}"],
        ("stages.slm.selection", "ratio", "all_of"),
    ),
    "an intersection that is a union": (
        "math_1b",
        [f"stages.slm.selection={{all_of: [{LOSS}, {ENTROPY}], any_of: [{LOSS}, {ENTROPY}], token_scores: scores}}"],
        ("stages.slm.selection", "all_of", "any_of"),
    ),
    "an intersection without scores": (
        "math_1b",
        [f"stages.slm.selection={{all_of: [{LOSS}, {ENTROPY}]}}"],
        ("stages.slm.selection.token_scores: missing; the score 'reference_loss' needs",),
    ),
    "no ratio": (
        "math_1b",
        ["stages.slm.selection={score: reference_loss, token_scores: scores}"],
        ("stages.slm.selection", "ratio"),
    ),
    "a server beside a reference": (
        "math_1b",
        [f"stages.scores.server={SERVER}"],
        ("stages.scores.reference: expected either a reference or a server",),
    ),
    "entropies of a server": (
        "self_reference",
        ["stages.scores.reference=null", f"stages.scores.server={SERVER}"],
        (
            "stages.slm-entropy.selection.token_scores: the scores of 'scores' are a server's",
            "stages.slm-loss-and-entropy.selection.token_scores",
        ),
    ),
    "a selection in SFT without a reference": (
        "math_1b",
        ["stages.slm-sft.selection={ratio: 0.5}"],
        ("stages.slm-sft.reference: missing; the score 'excess_loss' needs a model",),
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_broken_rule_is_told_at_its_place(rule):
    recipe, overrides, parts = RULES[rule]
    message = problems(recipe, *overrides)
    for part in parts:
        assert part in message
    assert message.count("\n") <= 5  # nothing else is complained of


def test_broken_rules_are_told_together():
    together = (
        "a context longer than given weights have",
        "a budget of less than a batch",
        "flash attention in float32",
    )
    message = problems("math_1b", *(line for rule in together for line in RULES[rule][1]))
    for rule in together:
        for part in RULES[rule][2]:
            assert part in message


def test_models_of_one_vocabulary_go_together():
    """Llama-2 reads what TinyLlama's tokenizer wrote; weights that nobody knows are given the benefit of the doubt."""
    load_recipe("math_1b", [f"stages.tokenizer.pretrained={LLAMA}"])
    load_recipe("weak_to_strong", ["stages.slm.init.pretrained=some/model", "stages.clm.init.pretrained=some/model"])
