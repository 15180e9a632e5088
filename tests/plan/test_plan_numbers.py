"""The plan's arithmetic against published numbers, and its memory formula against what autograd really keeps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rho1bench.errors import RunError
from rho1bench.plan.communication import Links, step_seconds
from rho1bench.plan.estimate import Machine, make_machine, plan_run
from rho1bench.plan.memory import activation_bytes, layer_bytes_per_token, training_memory, unsharded_bytes
from rho1bench.recipe import Distributed, Selection, TrainStage
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.sizing.flops import FORWARD, flops_per_token, gpu_seconds, mfu
from rho1bench.sizing.gpus import GPUS, find_gpu
from rho1bench.sizing.shapes import KNOWN_MODELS, VOCABULARIES, shape_of_config

TINYLLAMA = KNOWN_MODELS["TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T"]
H100 = GPUS["h100"]
LAYERS = TINYLLAMA.num_hidden_layers * TINYLLAMA.layer_parameters / TINYLLAMA.num_parameters
"""Share of the weights that lie in layers."""
PAPER_RATE = 15e9 / (3.5 * 3600 * 32)
"""Tokens a second on each of the paper's 32 H100: 15B tokens in about 3.5 hours."""


@pytest.fixture(scope="module")
def math_1b():
    return load_recipe("math_1b")


def stage_of(recipe, name: str) -> TrainStage:
    stage = recipe.stage(name)
    assert isinstance(stage, TrainStage)
    return stage


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T", 1_100_048_384),
        ("meta-llama/Llama-2-7b-hf", 6_738_415_616),
        ("mistralai/Mistral-7B-v0.1", 7_241_732_096),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 134_515_008),
    ],
)
def test_known_shapes_have_the_published_number_of_weights(name, published):
    assert KNOWN_MODELS[name].num_parameters == published
    assert name in VOCABULARIES


def test_a_config_gives_the_same_shape():
    from transformers import MistralConfig

    config = MistralConfig(vocab_size=32000, num_hidden_layers=32, max_position_embeddings=32768)
    assert shape_of_config(config.to_dict()) == KNOWN_MODELS["mistralai/Mistral-7B-v0.1"]
    assert shape_of_config({"model_type": "gpt2"}) is None


def test_operations_of_tinyllama_by_hand():
    layer = 2 * 2048 * 2048 + 2 * 2048 * 256 + 3 * 2048 * 5632  # norms are no matrices
    weights = 22 * layer + 32000 * 2048  # the input embedding is looked up
    assert flops_per_token(TINYLLAMA, 2048) == 6 * weights + 12 * 22 * 2048 * 2048


def test_the_paper_s_rate_gives_the_paper_s_hours(math_1b):
    """37 k tokens/s a GPU are 15B tokens in 3.5 hours on 32 GPUs, whether stated so or as the MFU that it implies."""
    assert pytest.approx(37.2e3, rel=1e-3) == PAPER_RATE
    measured = make_machine(math_1b, H100, 32, tokens_per_second=PAPER_RATE)
    implied = make_machine(math_1b, H100, 32, share=mfu(PAPER_RATE, TINYLLAMA, 2048, H100.peak_flops))
    for machine in (measured, implied):
        plans = {plan.name: plan for plan in plan_run(math_1b, machine).stages}
        for name in ("slm", "clm"):
            assert plans[name].tokens == pytest.approx(15e9, rel=1e-4)
            assert plans[name].hours == pytest.approx(3.5, rel=1e-3)
        assert plans["scores"].hours == pytest.approx(3.5 * 14 / 15 * FORWARD, rel=1e-3)


def test_hours_fall_with_gpus_and_sum_up(math_1b):
    totals = [plan_run(math_1b, Machine(H100, number, 0.4, "stated")) for number in (8, 16)]
    eight, sixteen = ([stage.hours for stage in plan.stages if stage.hours and stage.kind != "eval"] for plan in totals)
    assert eight == pytest.approx([2 * hours for hours in sixteen])  # an evaluation boots its copies as often
    assert totals[1].hours == pytest.approx(sum(stage.hours or 0 for stage in totals[1].stages))


@given(share=st.floats(0.01, 1), tokens=st.integers(1, 10**12))
def test_an_mfu_is_read_back_from_the_rate_that_it_gives(share, tokens):
    seconds = gpu_seconds(tokens, TINYLLAMA, 2048, share * H100.peak_flops)
    assert mfu(tokens / seconds, TINYLLAMA, 2048, H100.peak_flops) == pytest.approx(share)


def test_model_states_are_those_of_the_zero_paper(math_1b):
    """16 bytes a weight where nothing is sharded, a 32nd of it and two layers where everything is."""
    weights = TINYLLAMA.num_parameters
    plain = stage_of(math_1b, "slm").model_copy(update={"precision": "fp32", "distributed": None})
    alone = training_memory(TINYLLAMA, plain, 2048, 1)
    assert alone.weights + alone.gradients + alone.optimizer == 16 * weights
    averaged = {"selection": Selection(score="self_gain", ratio=0.5, moving_average=0.9)}
    assert training_memory(TINYLLAMA, plain.model_copy(update=averaged), 2048, 1).weights == 8 * weights
    sharded = plain.model_copy(update={"distributed": Distributed(strategy="fsdp2")})
    spread = training_memory(TINYLLAMA, sharded, 2048, 32)
    assert spread.optimizer == pytest.approx(8 * weights / 32)
    whole = 8 * (2 * TINYLLAMA.layer_parameters + 2 * 32000 * 2048 + 2048)  # two layers; embeddings, head, last norm
    assert spread.weights + spread.gradients == pytest.approx(8 * weights / 32 + whole)
    by_node = sharded.model_copy(update={"distributed": Distributed(strategy="fsdp2", shard_over="node")})
    assert training_memory(TINYLLAMA, by_node, 2048, 32, per_node=8).optimizer == pytest.approx(weights)
    buckets = training_memory(TINYLLAMA, plain, 2048, 32)
    assert (buckets.weights, buckets.gradients) == (4 * weights, 8 * weights)
    zero = plain.model_copy(update={"distributed": Distributed(strategy="deepspeed"), "precision": "bf16"})
    found = training_memory(TINYLLAMA, zero, 2048, 32)
    assert found.weights == pytest.approx(2 * weights + 4 * weights / 32)
    assert (found.gradients, found.optimizer) == pytest.approx((2 * (weights / 32 + 5e8), 8 * weights / 32))


def test_scoring_has_its_precision_in_memory_and_time(math_1b):
    plans = {}
    for precision in ("bf16", "fp32"):
        recipe = load_recipe("math_1b", [f"stages.scores.precision={precision}"])
        plans[precision] = next(
            one for one in plan_run(recipe, make_machine(recipe, H100, 1)).stages if one.name == "scores"
        )
    assert plans["bf16"].memory.weights == 2 * TINYLLAMA.num_parameters
    assert plans["fp32"].memory.weights == 4 * TINYLLAMA.num_parameters
    assert plans["fp32"].hours / plans["bf16"].hours == pytest.approx(989 / 67)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_fsdp2_holds_whole_what_the_plan_counts(math_1b, monkeypatch, precision):
    """Bytes of weights that are whole while a layer computes: the layer, and what lies outside of layers."""
    import torch
    import torch.distributed as dist
    from torch.distributed.tensor import DTensor
    from transformers import LlamaConfig, LlamaForCausalLM

    from rho1bench.modeling.build import layers
    from rho1bench.modeling.sharding import shard

    shape = _shape(64, 128, 4, 4, layers=3)
    config = LlamaConfig(
        vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4
    )
    sharded = {"precision": precision, "distributed": Distributed(strategy="fsdp2")}
    held: list[int] = []
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        model = LlamaForCausalLM(config)
        middle = layers(model)[1]
        shard(model, model, stage_of(math_1b, "slm").model_copy(update=sharded), torch.device("cpu"))

        def count(*_: object) -> None:
            whole = [weight for weight in model.parameters() if not isinstance(weight, DTensor)]
            held.append(sum(weight.numel() * weight.element_size() for weight in whole))

        middle.mlp.register_forward_hook(count)
        middle.mlp.register_full_backward_hook(count)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = model(input_ids=torch.arange(8).unsqueeze(0)).logits
        logits.sum().backward()
    finally:
        dist.destroy_process_group()
    layer, width = shape.layer_parameters, 2 if precision == "bf16" else 4
    head = 2 * shape.head_parameters if precision == "bf16" else 0  # a copy inside its product
    assert (
        held == [unsharded_bytes(shape, precision)[0] - width * layer - head] * 2
    )  # the layer on its way is no weight yet


@pytest.mark.parametrize(
    ("strategy", "shard_over", "expected"),
    [
        ("ddp", "all", 2 * 4 * 31 / 32 / 400e9),
        ("fsdp2", "all", 3 * (2 * 2 * LAYERS + 4 * (1 - LAYERS) + 4) * 31 / 32 / 400e9),
        (
            "fsdp2",
            "node",
            3 * ((2 * 2 * LAYERS + 4 * (1 - LAYERS) + 4) * 7 / 8 / 450e9 + 2 * 4 / 8 * 3 / 4 / 50e9),
        ),
        ("deepspeed", "all", 4 * 2 * 31 / 32 / 400e9),
    ],
)
def test_collectives_of_a_step_by_hand(math_1b, strategy, shard_over, expected):
    """Three micro-batches in bf16 on 4 x 8 H100: 450 GB/s inside a node, 8 x 50 between nodes; seconds a weight."""
    setting = Distributed(strategy=strategy, shard_over=shard_over)
    stage = stage_of(math_1b, "slm").model_copy(update={"distributed": setting, "precision": "bf16"})
    seconds = step_seconds(TINYLLAMA, stage, 3, Links(H100, 4, 8))
    assert seconds == pytest.approx(TINYLLAMA.num_parameters * expected)
    assert step_seconds(TINYLLAMA, stage, 3, Links(H100, 1, 1)) == 0
    assert step_seconds(TINYLLAMA, stage.model_copy(update={"distributed": None}), 3, Links(H100, 4, 8)) == 0


def test_hours_are_those_of_slow_links_where_they_take_longer():
    recipe = load_recipe("math_7b")
    fast, slow = (plan_run(recipe, make_machine(recipe, GPUS[name], 8, share=0.9)) for name in ("h100", "rtx4090"))
    stages = [next(stage for stage in plan.stages if stage.name == "slm") for plan in (fast, slow)]
    assert stages[0].communication < stages[0].hours
    assert stages[1].communication == stages[1].hours


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("shape", [(64, 128, 4, 4), (64, 192, 4, 1), (128, 128, 4, 2)])
def test_activations_are_what_autograd_keeps(precision, shape):
    """Bytes a token and layer, counted: the difference of models of three layers and of one."""
    kept = [_bytes_kept(layers, shape, precision, checkpointing=False) for layers in (1, 3)]
    hidden, inner, heads, groups = shape
    model = _shape(hidden, inner, heads, groups)
    copies = 2 * (model.layer_parameters - 2 * hidden) if precision == "bf16" else 0
    counted = (kept[1] - kept[0]) / 2 - copies
    assert counted / TOKENS == pytest.approx(layer_bytes_per_token(model, precision), rel=0.01)


def test_checkpointed_activations_are_what_autograd_keeps(math_1b):
    kept = [_bytes_kept(layers, (64, 128, 4, 4), "bf16", checkpointing=True) for layers in (1, 3)]
    stage = stage_of(math_1b, "slm").model_copy(update={"gradient_checkpointing": True})
    one, three = (activation_bytes(_shape(64, 128, 4, 4, layers), stage, TOKENS) for layers in (1, 3))
    assert kept[1] - kept[0] == three - one > 0


TOKENS = 256


def _shape(hidden: int, inner: int, heads: int, groups: int, layers: int = 1):
    fields = {"hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers, "vocab_size": 64}
    heads_of = {"num_attention_heads": heads, "num_key_value_heads": groups, "max_position_embeddings": 128}
    found = shape_of_config({"model_type": "llama", **fields, **heads_of})
    assert found is not None
    return found


def _bytes_kept(layers: int, shape: tuple[int, int, int, int], precision: str, checkpointing: bool) -> int:
    """Sizes of the distinct storages that a forward pass saves for backward, weights left out."""
    import torch
    from transformers import LlamaConfig, LlamaModel

    hidden, inner, heads, groups = shape
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        max_position_embeddings=128,
        attn_implementation="sdpa",
    )
    model = LlamaModel(config).train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    found: dict[int, int] = {}
    alive = []

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = storage.nbytes()
        alive.append(tensor)
        return tensor

    ids = torch.randint(0, 64, (2, TOKENS // 2))
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"),
    ):
        model(input_ids=ids, use_cache=False)
    return sum(found.values())


def test_gpus_are_found_by_name():
    assert find_gpu("H100").peak_flops == 989e12
    assert all(gpu.source and gpu.memory > 1e10 for gpu in GPUS.values())
    with pytest.raises(RunError, match=r"did you mean 'a100-80'\?"):
        find_gpu("a100-8")


def test_contradictory_options_are_refused(math_1b):
    with pytest.raises(RunError, match="give one of them"):
        make_machine(math_1b, H100, 1, share=0.4, tokens_per_second=1e4)


def test_what_does_not_fit_is_noted_with_a_remedy():
    recipe = load_recipe("math_7b", ["stages.slm.distributed.strategy=ddp", "stages.clm.micro_batch_size=4"])
    notes = plan_run(recipe, make_machine(recipe, H100, 32)).notes
    assert any(note.startswith("slm: ") and "fsdp2" in note for note in notes)
    assert any(note.startswith("clm: ") and "gradient_checkpointing" in note for note in notes)
    odd = plan_run(recipe, make_machine(recipe, H100, 24)).notes
    assert any("no multiple of 24 processes" in note for note in odd)
