"""Every field of every stage is semantic or operational: the table, which a new field has to be entered in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import BaseModel
from small_recipe import SMALL

from rho1bench.pipeline.fingerprint import stage_fingerprint
from rho1bench.recipe import StageBase
from rho1bench.recipe.loading.json_schema import stage_models
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.recipe.models.base import Operational, marks_of

TRAINING = (
    "name kind seed init trust_remote_code optimizer batch_size max_steps num_checkpoints precision float8 "
    "checkpoint_dtype attention compile "
    "gradient_filter distributed selection on_nonfinite"
)
HOW_IT_TRAINS = (
    "variant micro_batch_size num_threads save_steps logging_steps gradient_checkpointing fused kept_logits_gib "
    "loggers resume_points loader_workers"
)
TEXT = "on_bad_line max_line_bytes"
TABLE = {  # semantic fields: a change makes the stage anew; operational ones: it does not
    "TokenizerStage": (f"name kind seed {TEXT} sources vocab_size pretrained revision", "variant"),
    "CorpusStage": (
        f"name kind seed {TEXT} tokenizer sources block_size num_blocks num_tokens at_most "
        "benchmark_texts document_masking",
        "variant num_workers",
    ),
    "PretrainStage": (f"{TRAINING} corpus validation validation_steps monitor", HOW_IT_TRAINS),
    "ScoreStage": ("name kind seed reference server corpus precision entropies", "variant batch_size"),
    "SFTStage": (f"{TRAINING} {TEXT} tokenizer sources max_length reference", HOW_IT_TRAINS),
    "BenchmarkTextsStage": ("name kind seed suites", "variant"),
    "EvalStage": (
        "name kind seed evaluations engine max_model_len dtype task_options",
        "variant batch_size data_parallel_size",
    ),
    "CompareStage": ("name kind seed evaluation pairs contests num_resamples", "variant"),
    "AnalysisStage": (
        "name kind seed curves corpus evaluation suite num_tokens rules precision",
        "variant batch_size",
    ),
    "AtlasStage": ("name kind seed corpus checkpoints token_scores rules ratio num_tokens", "variant batch_size"),
    "ReportStage": ("name kind seed comparison evaluation curves analysis", "variant"),
    "Variant": ("group labels", ""),
    "MiniWorldSource": (
        "weight decontaminate type text num_documents offset noise_share noise_kinds epochs coverage",
        "",
    ),
    "MiniWorldCoverage": ("tasks operands phrasings", ""),
    "LocalSource": ("weight decontaminate type path text_field num_documents offset", ""),
    "HubSource": (
        "weight decontaminate type dataset config split revision data_files shuffle_files text_field num_documents "
        "offset",
        "",
    ),
    "PackageSource": ("weight decontaminate type packages text files_from files_to num_documents offset", ""),
    "ModelConfig": (
        "architecture hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads "
        "max_position_embeddings tie_word_embeddings initializer_range rope_theta",
        "",
    ),
    "PretrainedModel": ("pretrained revision", ""),
    "Optimizer": (
        "learning_rate tuned_on schedule warmup_steps decay_fraction weight_decay beta1 beta2 max_grad_norm",
        "",
    ),
    "Distributed": ("strategy", "shard_over"),
    "BlockScope": ("blocks", ""),
    "Selection": ("score ratio all_of any_of scope token_scores moving_average parameters", ""),
    "RatioSchedule": ("schedule ratio start end steps", ""),
    "ScoreRatio": ("score ratio parameters", ""),
    "ScoreServer": ("base_url model", ""),
    "Evaluation": ("checkpoints suites trajectory limit", ""),
    "TaskSettings": ("include_path num_fewshot chat_template samples temperature top_p max_new_tokens", ""),
    "Pair": ("treatment baseline", ""),
    "Contest": (
        "name arms arm_axes full random controls choose choose_by tuning_seeds suites margin place",
        "",
    ),
}


def models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from models_in(argument)


def models() -> list[type[BaseModel]]:
    """The stages, and every model that a field of theirs holds."""
    found: list[type[BaseModel]] = []
    waiting: list[type[BaseModel]] = list(stage_models().values())
    while waiting:
        model = waiting.pop()
        if model not in found:
            found.append(model)
            waiting += [other for info in model.model_fields.values() for other in models_in(info.annotation)]
    return found


def test_every_field_is_one_or_the_other():
    marked = {
        model.__name__: {name for name, marks in marks_of(model, Operational).items() if marks} for model in models()
    }
    fields = {model.__name__: set(model.model_fields) for model in models()}
    assert {name: (set(semantic.split()), set(rest.split())) for name, (semantic, rest) in TABLE.items()} == {
        name: (fields[name] - operational, operational) for name, operational in marked.items()
    }
    assert all(mark.reason for model in models() for marks in marks_of(model, Operational).values() for mark in marks)


def stage(*overrides: str, name: str = "slm") -> StageBase:
    return load_recipe(str(SMALL), [f"stages.{name}.{item}" for item in overrides]).stage(name)


@pytest.mark.parametrize("key", ["selection", "monitor"])
def test_what_a_micro_batch_holds_counts_where_it_is_ranked_among(key: str):
    """In the scope ``micro_batch``, for the metrics of ``monitor`` too."""
    field = "micro_batch_size=2"
    base = [f"{key}={{ratio: 0.6, token_scores: scores, scope: SCOPE}}"]
    for scope, same in (("global", True), ("micro_batch", False)):
        one, other = (
            stage_fingerprint(stage(*(item.replace("SCOPE", scope) for item in (*base, *more))), 0, {})
            for more in ([], [field])
        )
        assert (one.sha256 == other.sha256) == (one.semantic == other.semantic) == same
        assert (field.partition("=")[0] in one.operational) == same


@pytest.mark.parametrize(("scaling", "same"), [("rowwise", True), ("tensorwise", False)])
def test_what_a_micro_batch_holds_counts_where_it_shares_a_scale_of_float8(scaling: str, same: bool):
    base = ["precision=bf16", f"float8={scaling}"]
    one, other = (stage_fingerprint(stage(*base, *more), 0, {}) for more in ([], ["micro_batch_size=2"]))
    assert (one.sha256 == other.sha256) == (one.semantic == other.semantic) == same


def test_packages_of_settings_are_asked_about_where_they_are_used():
    assert "torchao" not in stage_fingerprint(stage(), 0, {}).packages
    assert "torchao" in stage_fingerprint(stage("precision=bf16", "float8=rowwise"), 0, {}).packages
    assert "flash-attn" in stage_fingerprint(stage("precision=bf16", "attention=flash_attention_2"), 0, {}).packages
