"""What the package reads of transformers' and accelerate's inside is still there; else the name and the version."""

from __future__ import annotations

import inspect

import accelerate
import pytest
import transformers
import trl
from transformers import LlamaConfig, LlamaForCausalLM, Trainer

from rho1bench.modeling.library_internals import attention_implementation, layer_classes, one_sequence_a_row

VERSIONS = f"transformers {transformers.__version__}, accelerate {accelerate.__version__}, trl {trl.__version__}"


def tiny_llama() -> LlamaForCausalLM:
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=40, max_position_embeddings=16, **shape))


def test_the_attention_of_a_model_is_where_it_was() -> None:
    model = tiny_llama()
    for name in ("eager", "sdpa"):
        model.set_attn_implementation(name)
        assert attention_implementation(model) == name, f"config._attn_implementation has moved in {VERSIONS}"


def test_the_layers_of_a_model_have_names() -> None:
    assert layer_classes(tiny_llama()) == ["LlamaDecoderLayer"], f"_no_split_modules has moved in {VERSIONS}"


# What our trainers override, with the parameters that it takes.
OVERRIDDEN = {
    "_get_output_dir": ["trial"],
    "_save_checkpoint": ["model", "trial"],
    "_save": ["output_dir", "state_dict"],
    "_save_optimizer_and_scheduler": ["output_dir"],
    "_load_optimizer_and_scheduler": ["checkpoint"],
    "_move_model_to_device": ["model", "device"],
    "_load_from_checkpoint": ["resume_from_checkpoint", "model"],
    "_clip_grad_norm": ["model"],
    "get_batch_samples": ["epoch_iterator", "num_batches", "device"],
    "compute_loss": ["model", "inputs", "return_outputs", "num_items_in_batch"],
    "training_step": ["model", "inputs", "num_items_in_batch"],
}


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_the_trainer_calls_what_ours_override(name: str) -> None:
    method = getattr(Trainer, name, None)
    assert method is not None, f"Trainer.{name} is gone in {VERSIONS}"
    found = list(inspect.signature(method).parameters)[1:]
    assert found == OVERRIDDEN[name], f"Trainer.{name} takes {found} in {VERSIONS}"
    assert f"self.{name}(" in inspect.getsource(Trainer), f"Trainer does not call {name} in {VERSIONS}"


def test_the_trainer_takes_a_loss_that_is_divided_already() -> None:
    assert hasattr(Trainer, "loss_is_scaled_for_ga"), f"Trainer.loss_is_scaled_for_ga needs 5.19, this is {VERSIONS}"
    assert "self.loss_is_scaled_for_ga" in inspect.getsource(Trainer.training_step), VERSIONS


def test_the_trainer_leaves_a_model_alone_that_is_sharded_already() -> None:
    source = inspect.getsource(Trainer._prepare_for_training)
    assert "self.is_distributed_loading_by_transformers" in source, f"has moved in {VERSIONS}"
    assert "self.is_distributed_loading_by_transformers =" in inspect.getsource(Trainer.__init__), VERSIONS


def test_a_row_of_one_sequence_is_told_apart_by_a_module_global() -> None:
    """Within the block nobody asks, outside of it rows of several sequences are found as before."""
    import torch

    model, tokens = tiny_llama().eval(), torch.arange(8).view(1, 8)
    begin_anew = torch.arange(4).repeat(1, 2)

    def hidden(positions: torch.Tensor | None) -> torch.Tensor:
        return model.model(input_ids=tokens, position_ids=positions, use_cache=False).last_hidden_state

    one, several = hidden(None), hidden(begin_anew)
    with one_sequence_a_row():
        assert torch.equal(hidden(None), one)
        assert not torch.allclose(hidden(begin_anew), several), f"masking_utils finds sequences otherwise in {VERSIONS}"
    assert torch.equal(hidden(begin_anew), several)
