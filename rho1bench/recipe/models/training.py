"""Stages ``pretrain`` and ``sft``: model, optimizer, steps (paper sections 3.1 and 3.2)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from rho1bench.recipe.models.base import (
    CHECKPOINT,
    MAX_WORKERS,
    METRICS,
    SUM_ORDER,
    Distributed,
    Fraction,
    Model,
    Name,
    Operational,
    PositiveInt,
    PretrainedModel,
    StageBase,
    StageLookup,
    StageRef,
    StageSizes,
    StageSpec,
    Workers,
)
from rho1bench.recipe.models.corpus import CorpusStage, SampleSource, TextStage, TokenizerStage
from rho1bench.recipe.models.selection import Selection
from rho1bench.sizing.shapes import ModelShape

PACKAGES = ("torch", "transformers", "accelerate", "tokenizers", "numpy")
BYTES_PER_WEIGHT = {"float32": 4, "bfloat16": 2}
MAX_BATCH = 10_000_000


class ModelConfig(Model):
    """Shape of a model that starts from random weights; the vocabulary is the tokenizer's."""

    architecture: Literal["llama", "mistral"] = "llama"
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    num_hidden_layers: PositiveInt
    num_attention_heads: PositiveInt
    num_key_value_heads: PositiveInt | None = None
    max_position_embeddings: PositiveInt
    tie_word_embeddings: bool = True
    initializer_range: Annotated[float, Field(gt=0)] = 0.02
    rope_theta: Annotated[float, Field(gt=0)] = 10000.0

    def shape(self, vocab_size: int) -> ModelShape:
        """Return the shape of the model with a vocabulary of ``vocab_size``."""
        fields = self.model_dump(exclude={"initializer_range", "rope_theta", "num_key_value_heads"})
        groups = self.num_key_value_heads or self.num_attention_heads
        return ModelShape(**fields, num_key_value_heads=groups, vocab_size=vocab_size)


def _kind_of_init(value: object) -> str:
    """Tell which alternative of :data:`Init` is meant, so that only its problems are reported."""
    if isinstance(value, dict):
        return "given weights" if "pretrained" in value else "a shape"
    if isinstance(value, PretrainedModel):
        return "given weights"
    return "a shape" if isinstance(value, ModelConfig) else "a stage"


Init = Annotated[
    Annotated[Name, StageRef(("pretrain", "sft"), CHECKPOINT), Tag("a stage")]
    | Annotated[ModelConfig, Tag("a shape")]
    | Annotated[PretrainedModel, Tag("given weights")],
    Discriminator(_kind_of_init),
]
"""What a training stage starts from: an earlier stage's model, random weights, or weights from elsewhere."""


class Optimizer(Model):
    """AdamW and its learning-rate schedule."""

    learning_rate: Annotated[float, Field(gt=0)] | None = None
    tuned_on: list[Annotated[Name, StageRef(("pretrain",), METRICS)]] = []
    """In place of a rate, stages that each try one on another seed (``tune-excess-*``): that of the lowest last
    validation loss is taken."""
    schedule: Literal["constant", "cosine", "linear", "wsd"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    decay_fraction: Fraction = 0.2
    """Share of the steps over which ``wsd`` decays."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        if self.learning_rate is None and not self.tuned_on:
            raise ValueError("missing learning_rate; expected a number, or tuned_on with stages that try some")
        if self.learning_rate is not None and self.tuned_on:
            raise ValueError("give learning_rate or tuned_on, not both")
        return self


def checkpoint_steps(max_steps: int, num_checkpoints: int) -> list[int]:
    """Return the evenly spaced steps of the checkpoints along the way; the last step is not among them."""
    steps = {round(max_steps * index / (num_checkpoints + 1)) for index in range(1, num_checkpoints + 1)}
    return sorted(step for step in steps if 0 < step < max_steps)


class TrainStage(StageBase):
    """What pretraining and SFT share."""

    init: Init
    trust_remote_code: bool = False
    """Run model code that a pretrained checkpoint brings along. Only for origins that you trust."""
    optimizer: Optimizer
    batch_size: Annotated[int, Field(gt=0, le=MAX_BATCH)]
    """Blocks (or samples) in one optimizer step, over all processes."""
    micro_batch_size: Annotated[PositiveInt | None, Operational(SUM_ORDER)] = None
    """Blocks in one forward pass; default: the whole batch. With ``scope: micro_batch`` it is what is ranked among."""
    max_steps: PositiveInt
    num_threads: Annotated[Workers | None, Operational(SUM_ORDER)] = None
    """CPU threads of torch; in the recipe because sums in another order differ in their last bits."""
    num_checkpoints: Annotated[int, Field(ge=0)] = 0
    """Evenly spaced model checkpoints to keep along the way for evaluation, besides the last."""
    save_steps: Annotated[PositiveInt, Operational("a resumed stage has the numbers of an uninterrupted one")] = 50
    """Distance of the resume points inside the stage; the last step needs none."""
    resume_points: Annotated[PositiveInt, Operational("a resumed stage has the numbers of an uninterrupted one")] = 1
    """How many of the last resume points are kept."""
    on_nonfinite: Literal["stop", "skip"] = "stop"
    """Of a step whose loss or gradient is not finite: ``stop`` ends training before the optimizer; ``skip`` leaves the
    weights as they are and goes on, up to ten times in a row. Skipped steps are counted in the metrics."""
    loader_workers: Annotated[int | None, Field(ge=0, le=MAX_WORKERS), Operational("the same batches, read ahead")] = (
        None
    )
    """Processes that read batches ahead, in each rank; default: 2 where there is a GPU, else none."""
    logging_steps: Annotated[PositiveInt, Operational("how often training tells of itself")] = 10
    precision: Literal["fp32", "bf16"] = "fp32"
    """``bf16``: matrix products in bfloat16 (autocast); weights, optimizer and losses stay in float32."""
    float8: Literal["tensorwise", "rowwise"] | None = None
    """With ``precision: bf16``: multiply the layers' linear maps in float8 (package torchao), with one scale a tensor,
    or one a row and column: slower, but what is made of a token does not depend on the others of its micro-batch. For
    GPUs that multiply float8 (L40S, H100 and later), with ``compile: true``; elsewhere it is slower than bf16 alone.
    ``mfu`` and plans go by the bf16 peak."""
    checkpoint_dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the weights in checkpoints: ``bfloat16`` halves them and rounds what later stages start from or evaluate.
    Resume points always hold float32."""
    attention: Literal["sdpa", "flash_attention_2", "eager"] = "sdpa"
    gradient_checkpointing: Annotated[bool, Operational("the same operations, done twice")] = False
    """Make activations again in the backward pass instead of keeping them: less memory, about a third more work."""
    compile: bool = False
    """Run the model through ``torch.compile``."""
    fused: Annotated[bool, Operational(SUM_ORDER)] = False
    """AdamW as one fused kernel; sums in another order, so the last bits differ."""
    kept_logits_gib: Annotated[float | None, Field(ge=0), Operational(SUM_ORDER)] = None
    """Logits of a micro-batch are kept for its backward pass if they take no more than this memory, in GiB; default: a
    tenth of an accelerator's, none on a CPU. Larger ones are made a chunk of rows at a time, twice where it ranks."""
    gradient_filter: Annotated[float | None, Field(gt=0, lt=1)] = None
    """Where logits are kept: leave out of the backward products of a chunk of rows each vocabulary entry whose
    gradient is below this share of the largest row weight in every row. For large vocabularies; default: none is."""
    distributed: Distributed | None = None
    loggers: Annotated[list[Literal["tensorboard", "trackio", "wandb"]], Operational("copies of what is logged")] = []
    """Besides ``metrics.jsonl``, which is always written."""
    selection: Selection | None = None
    """Which tokens keep their loss; None is CLM, the full-token baseline (in fine-tuning: every labelled token)."""

    @property
    def init_stage(self) -> str | None:
        """The stage whose model this one starts from; None for weights from elsewhere."""
        return self.init if isinstance(self.init, str) else None

    def first_init(self, recipe: StageLookup) -> ModelConfig | PretrainedModel:
        """Return what the stage's first ancestor starts from."""
        return recipe.stage(self.init, TrainStage).first_init(recipe) if isinstance(self.init, str) else self.init

    def tokenizer_stage(self, recipe: StageLookup) -> TokenizerStage:
        """Return the tokenizer that the stage reads with."""
        raise NotImplementedError

    def sequence_length(self, recipe: StageLookup) -> int:
        """Return the tokens of one sequence (of SFT: the longest)."""
        raise NotImplementedError

    def shape(self, recipe: StageLookup) -> ModelShape | None:
        """Return the shape of the model that the stage trains; None where it is not known without a network."""
        if isinstance(self.init, str):
            return recipe.stage(self.init, TrainStage).shape(recipe)
        if isinstance(self.init, PretrainedModel):
            return self.init.shape
        vocab_size = self.tokenizer_stage(recipe).vocabulary
        return None if vocab_size is None else self.init.shape(vocab_size)

    def sizes(self, recipe: StageLookup) -> StageSizes:
        """Return steps, tokens and blocks, and weights and bytes where the shape is known."""
        shape, blocks = self.shape(recipe), self.max_steps * self.batch_size
        weights = None if shape is None else shape.num_parameters
        return StageSizes(
            steps=self.max_steps,
            tokens=blocks * self.sequence_length(recipe),
            blocks=blocks,
            weights=weights,
            bytes=None
            if weights is None
            else weights * BYTES_PER_WEIGHT[self.checkpoint_dtype] * (1 + self.num_checkpoints),
        )

    def depends_on(self) -> frozenset[str]:
        """Return what decides among which tokens the scope ``micro_batch`` ranks, and which share a scale of float8."""
        scopes = {value.scope for _, value in self if isinstance(value, Selection)}
        counts = "micro_batch" in scopes or self.float8 == "tensorwise"
        return frozenset({"micro_batch_size"} if counts else ())

    def packages(self) -> tuple[str, ...]:
        """Return the kind's packages, and those that settings of this stage use."""
        used = {"torchao": self.float8, "flash-attn": self.attention == "flash_attention_2"}
        return (*super().packages(), *(name for name, is_used in used.items() if is_used))

    @property
    def in_ranks(self) -> bool:
        """Whether the stage says how processes train together."""
        return self.distributed is not None


class PretrainStage(TrainStage):
    """Base, reference, CLM and SLM training: they differ in ``init``, ``corpus`` and ``selection`` only."""

    spec: ClassVar[StageSpec] = StageSpec("rho1bench.training.pretrain:run", PACKAGES, parallel_safe=True)
    kind: Literal["pretrain"]
    corpus: Annotated[Name, StageRef(("corpus",), None)]
    validation: Annotated[Name | None, StageRef(("corpus",), None)] = None
    """Held-out clean corpus for the downstream loss of figure 6."""
    validation_steps: PositiveInt = 50
    monitor: Selection | None = None
    """The same ranking for the metrics only (a baseline's curves of figure 6); changes nothing in training."""

    def tokenizer_stage(self, recipe: StageLookup) -> TokenizerStage:
        """Return the tokenizer that the corpus is packed with."""
        return recipe.stage(recipe.stage(self.corpus, CorpusStage).tokenizer, TokenizerStage)

    def sequence_length(self, recipe: StageLookup) -> int:
        """Return the tokens of a block."""
        return recipe.stage(self.corpus, CorpusStage).block_size


class SFTStage(TrainStage, TextStage):
    """Supervised fine-tuning on tool-integrated and CoT samples (paper section 3.2)."""

    spec: ClassVar[StageSpec] = StageSpec("rho1bench.training.sft:run", (*PACKAGES, "trl"), parallel_safe=True)
    kind: Literal["sft"]
    tokenizer: Annotated[Name, StageRef(("tokenizer",))]
    sources: Annotated[list[SampleSource], Field(min_length=1)]
    max_length: PositiveInt
    reference: Annotated[Name, StageRef(("pretrain", "sft"), CHECKPOINT)] | PretrainedModel | None = None
    """The model whose scores ``selection`` reads; it scores the samples once, before training."""

    def tokenizer_stage(self, recipe: StageLookup) -> TokenizerStage:
        """Return the tokenizer that the samples are written with."""
        return recipe.stage(self.tokenizer, TokenizerStage)

    def sequence_length(self, recipe: StageLookup) -> int:
        """Return the tokens of the longest sample that is kept."""
        return self.max_length
