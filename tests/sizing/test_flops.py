"""Operations by our formulas against torch's own counter, on models that really run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

from rho1bench.modeling.causal_lm import size_of_model
from rho1bench.recipe import Selection
from rho1bench.selection.local_reference import score_blocks
from rho1bench.selection.selective_lm import SelectiveLM
from rho1bench.selection.selector import Selector
from rho1bench.sizing.flops import Work, flops_of
from rho1bench.sizing.shapes import shape_of_config

LENGTH, BLOCKS = 96, 3
ROWS = BLOCKS * (LENGTH - 1)
LLAMA: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "attn_implementation": "eager",  # the counter knows no fused attention of a CPU
}
MODELS = {
    "tied": lambda: LlamaForCausalLM(LlamaConfig(**LLAMA, tie_word_embeddings=True)),
    "untied": lambda: LlamaForCausalLM(LlamaConfig(**LLAMA, tie_word_embeddings=False)),
    "grouped queries": lambda: LlamaForCausalLM(LlamaConfig(**LLAMA, num_key_value_heads=1)),
    "wide heads": lambda: LlamaForCausalLM(LlamaConfig(**LLAMA, head_dim=32)),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=300, n_embd=64, n_layer=3, n_head=4, n_positions=512, attn_implementation="eager")
    ),
}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Products as small as these only wait for a second one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def product(total: torch.Size, left: torch.Size, right: torch.Size, **_: Any) -> int:
    return 2 * left[0] * left[1] * right[1]


def counted(run: Callable[[], object]) -> int:
    # Not in torch's table: the selective loss adds each chunk's product to the head's gradient in place.
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: product})
    with counter:
        run()
    return counter.get_total_flops()


def blocks(vocab_size: int = 300) -> torch.Tensor:
    return torch.arange(BLOCKS * LENGTH).view(BLOCKS, LENGTH) * 7 % vocab_size


@pytest.mark.parametrize("name", MODELS)
def test_forward_and_backward_of_whole_models(name: str) -> None:
    model = MODELS[name]()
    size, tokens = size_of_model(model), BLOCKS * LENGTH

    def forward() -> torch.Tensor:
        return model(input_ids=blocks(), use_cache=False).logits.float().logsumexp(-1).sum()

    with torch.no_grad():
        found = counted(forward)
    assert flops_of(size, LENGTH, Work(forward_tokens=tokens, forward_rows=tokens)) == pytest.approx(found, rel=0.02)
    found = counted(lambda: forward().backward())
    assert flops_of(size, LENGTH, Work(trained_tokens=tokens, trained_rows=tokens)) == pytest.approx(found, rel=0.02)
    if (shape := shape_of_config(model.config.to_dict())) is not None and name != "wide heads":
        assert (shape.matrix_parameters, shape.head_parameters) == (size.matrix_parameters, size.head_parameters)
        assert shape.attention_width == size.attention_width


def selective_work(selection: Selection | None) -> tuple[Work, Work]:
    """Return what the docstring of ``sizing.flops`` says of a step, and of its score-only pass."""
    kept = ROWS if selection is None or selection.gives_weights else int(selection.ratio * ROWS)
    needs_losses = selection is not None and selection.score != "reference_loss"
    step = Work(BLOCKS * LENGTH, kept, forward_rows=ROWS if needs_losses else ROWS - kept)
    return step, Work(forward_tokens=BLOCKS * LENGTH, forward_rows=ROWS)


@pytest.mark.parametrize("name", ["untied", "gpt2"])
@pytest.mark.parametrize(
    "selection",
    [
        None,
        Selection(score="excess_loss", ratio=0.6, token_scores="scores"),
        Selection(score="excess_loss", ratio=0.1, token_scores="scores"),
        Selection(score="reference_loss", ratio=0.3, token_scores="scores"),
        Selection(score="model_entropy", ratio=0.3),
        Selection(score="soft_excess_loss", token_scores="scores"),
    ],
    ids=lambda selection: "all" if selection is None else f"{selection.score} {selection.ratio}",
)
def test_the_selective_loss_sends_some_rows_backward(name: str, selection: Selection | None) -> None:
    model = SelectiveLM(MODELS[name](), Selector(selection, 0))
    known = {
        "eligible": torch.ones(BLOCKS, LENGTH - 1, dtype=torch.bool),
        "token_positions": torch.arange(ROWS).view(BLOCKS, -1),
        "reference.losses": torch.rand(BLOCKS, LENGTH - 1),
    }
    inputs = {"input_ids": blocks(), "inputs": known}
    model(**inputs)  # the first pass looks at the model besides
    step, ahead = selective_work(selection)
    size = size_of_model(model.lm)
    found = counted(lambda: model(**inputs)["loss_sum"].backward())
    assert flops_of(size, LENGTH, step) == pytest.approx(found, rel=0.02)
    if selection is not None and model.selector.needs_losses:
        with torch.no_grad():
            found = counted(lambda: model(**inputs, score_only=True))
        assert flops_of(size, LENGTH, ahead) == pytest.approx(found, rel=0.02)


def test_scoring_is_a_forward_pass() -> None:
    model = MODELS["untied"]()
    found = counted(lambda: score_blocks(model, blocks()))
    work = Work(forward_tokens=BLOCKS * LENGTH, forward_rows=ROWS)
    assert flops_of(size_of_model(model), LENGTH, work) == pytest.approx(found, rel=0.02)


def test_of_experts_only_those_that_a_token_is_sent_to_count() -> None:
    config = MixtralConfig(**LLAMA, num_local_experts=4, num_experts_per_tok=2, num_key_value_heads=4)
    size = size_of_model(MixtralForCausalLM(config))
    expert, attention, router = 3 * 64 * 160, 4 * 64 * 64, 4 * 64
    assert size.matrix_parameters == 3 * (2 * expert + attention + router)
