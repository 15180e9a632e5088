"""The recipe: one YAML file that describes a whole run, as frozen pydantic models.

A recipe is a list of stages; a field typed :class:`StageRef` names an earlier stage whose folder the stage reads.
Reading files, ``extends:`` and ``--set`` live in ``recipe_loading``; this module knows only the schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
PositiveInt = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0.0, le=1.0)]
STAGE_KINDS_KEY = "x-stage-kinds"


@dataclass(frozen=True)
class StageRef:
    """Marks a field that names an earlier stage, and says which kinds may stand there."""

    kinds: tuple[str, ...]

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        """Carry the mark into the JSON schema, where ``recipe_schema`` finds it."""
        return {**handler(core_schema), STAGE_KINDS_KEY: list(self.kinds)}


class Model(BaseModel):
    """Base of every recipe model: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MiniWorldSource(Model):
    """Text of the embedded mini world (``corpus.mini_world``); documents are generated from the run's seed."""

    type: Literal["mini_world"]
    text: Literal["clean", "web", "sft_cot", "sft_tir"]
    num_documents: PositiveInt
    offset: Annotated[int, Field(ge=0)] = 0
    """Number of documents of the stream to pass over first, so that two corpora can be disjoint."""
    noise_share: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the characters of ``web`` pages that are noise; other texts have none."""


class LocalSource(Model):
    """Local JSON lines (``.jsonl`` or ``.jsonl.gz``) with one document a line."""

    type: Literal["local"]
    path: str
    text_field: str = "text"
    num_documents: PositiveInt | None = None


Source = Annotated[MiniWorldSource | LocalSource, Field(discriminator="type")]


class ModelConfig(Model):
    """Shape of a Llama-architecture model that starts from random weights; the vocabulary is the tokenizer's."""

    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    num_hidden_layers: PositiveInt
    num_attention_heads: PositiveInt
    num_key_value_heads: PositiveInt | None = None
    max_position_embeddings: PositiveInt
    tie_word_embeddings: bool = True
    initializer_range: Annotated[float, Field(gt=0)] = 0.02
    rope_theta: Annotated[float, Field(gt=0)] = 10000.0


class Optimizer(Model):
    """AdamW and its learning-rate schedule."""

    learning_rate: Annotated[float, Field(gt=0)]
    schedule: Literal["constant", "cosine", "linear", "wsd"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    decay_fraction: Fraction = 0.2
    """Share of the steps over which ``wsd`` decays."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0


class Selection(Model):
    """Which tokens keep their loss (paper section 2.2, equations 3 to 5)."""

    score: Literal["excess_loss", "reference_loss", "reference_entropy", "training_loss", "random", "full"] = (
        "excess_loss"
    )
    ratio: Fraction
    scope: Literal["sequence", "micro_batch", "global"] = "global"
    token_scores: Annotated[Name | None, StageRef(("score",))] = None
    """The stage with the stored reference scores; needed by every score that reads the reference."""


class StageBase(Model):
    """What every stage has."""

    name: Name


class TokenizerStage(StageBase):
    """Trains a byte-level BPE tokenizer on the sources, digits as single tokens."""

    kind: Literal["tokenizer"]
    sources: Annotated[list[Source], Field(min_length=1)]
    vocab_size: Annotated[int, Field(ge=300)]


class CorpusStage(StageBase):
    """Reads the sources, tokenises them and packs documents into blocks (paper section 3.1)."""

    kind: Literal["corpus"]
    tokenizer: Annotated[Name, StageRef(("tokenizer",))]
    sources: Annotated[list[Source], Field(min_length=1)]
    block_size: Annotated[int, Field(ge=8)]
    num_blocks: PositiveInt | None = None
    """Keep this many blocks; an error if the sources give fewer."""


class TrainStage(StageBase):
    """What pretraining and SFT share."""

    init: Annotated[Name, StageRef(("pretrain", "sft"))] | ModelConfig
    optimizer: Optimizer
    batch_size: PositiveInt
    """Blocks (or samples) in one optimizer step, over all processes."""
    micro_batch_size: PositiveInt | None = None
    """Blocks in one forward pass; default: the whole batch."""
    max_steps: PositiveInt
    num_threads: PositiveInt | None = None
    """CPU threads of torch; part of the recipe because sums in another order differ in their last bits."""
    num_checkpoints: Annotated[int, Field(ge=0)] = 0
    """Evenly spaced model checkpoints to keep along the way for evaluation, besides the last."""
    save_steps: PositiveInt = 50
    """Distance of the resume points inside the stage."""
    logging_steps: PositiveInt = 10


class PretrainStage(TrainStage):
    """Base, reference, CLM and SLM training: they differ in ``init``, ``corpus`` and ``selection`` only."""

    kind: Literal["pretrain"]
    corpus: Annotated[Name, StageRef(("corpus",))]
    validation: Annotated[Name | None, StageRef(("corpus",))] = None
    """Held-out clean corpus for the downstream loss of figure 6."""
    validation_steps: PositiveInt = 50
    selection: Selection | None = None
    """None is CLM, the full-token baseline."""
    monitor: Selection | None = None
    """The same ranking for the metrics only (a baseline's curves of figure 6); changes nothing in training."""


class ScoreStage(StageBase):
    """Scores a packed corpus once with the reference model (loss and entropy of every token)."""

    kind: Literal["score"]
    reference: Annotated[Name, StageRef(("pretrain", "sft"))]
    corpus: Annotated[Name, StageRef(("corpus",))]
    batch_size: PositiveInt = 64


class SFTStage(TrainStage):
    """Supervised fine-tuning on tool-integrated and CoT samples (paper section 3.2)."""

    kind: Literal["sft"]
    tokenizer: Annotated[Name, StageRef(("tokenizer",))]
    sources: Annotated[list[Source], Field(min_length=1)]
    max_length: PositiveInt


class Evaluation(Model):
    """One set of checkpoints on one set of suites."""

    checkpoints: Annotated[list[Annotated[Name, StageRef(("pretrain", "sft"))]], Field(min_length=1)]
    suites: Annotated[list[str], Field(min_length=1)]
    """lm-eval tasks or groups, ``mini_math9`` for example."""
    trajectory: bool = False
    """True: the checkpoints along the way; False: the last one."""
    limit: PositiveInt | None = None
    """Documents a task at most."""


class EvalStage(StageBase):
    """Evaluates checkpoints through lm-eval with one engine for all of them."""

    kind: Literal["eval"]
    evaluations: Annotated[list[Evaluation], Field(min_length=1)]
    engine: Literal["auto", "vllm", "hf"] = "auto"
    max_model_len: PositiveInt = 512
    batch_size: PositiveInt = 256


class Pair(Model):
    """Treatment against baseline."""

    treatment: Name
    baseline: Name


class CompareStage(StageBase):
    """Compares checkpoints pairwise on the same documents: difference, interval, p."""

    kind: Literal["compare"]
    evaluation: Annotated[Name, StageRef(("eval",))]
    pairs: Annotated[list[Pair], Field(min_length=1)]
    num_resamples: PositiveInt = 2000


class ReportStage(StageBase):
    """Writes ``summary.json``, ``report.md`` and ``report.html`` from the folders of the other stages."""

    kind: Literal["report"]
    comparison: Annotated[Name, StageRef(("compare",))]
    evaluation: Annotated[Name, StageRef(("eval",))]
    curves: list[Annotated[Name, StageRef(("pretrain",))]] = []
    """Pretraining stages drawn as curves, the treatment and its baseline for example."""


Stage = Annotated[
    TokenizerStage | CorpusStage | PretrainStage | ScoreStage | SFTStage | EvalStage | CompareStage | ReportStage,
    Field(discriminator="kind"),
]


class Recipe(Model):
    """A whole run."""

    name: Name
    description: str = ""
    seed: Annotated[int, Field(ge=0)] = 0
    seeds: list[Annotated[int, Field(ge=0)]] = []
    """Where given, the whole recipe runs once a seed, and the summary tells the spread."""
    jobs: PositiveInt = 1
    """Training stages that do not need each other run side by side, up to this many (for CPUs with several cores)."""
    stages: Annotated[list[Stage], Field(min_length=1)]

    def stage(self, name: str) -> Stage:
        """Return the stage called ``name``; raises ``KeyError``."""
        return next(stage for stage in self.stages if stage.name == name) if self.has(name) else _missing(name)

    def has(self, name: str) -> bool:
        """Tell whether a stage is called ``name``."""
        return any(stage.name == name for stage in self.stages)


def _missing(name: str) -> Any:
    raise KeyError(name)


def references(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, str, StageRef]]:
    """Yield ``(key path, stage name, reference)`` for every stage that ``model`` names, nested models included."""
    for field_name, info in type(model).model_fields.items():
        value = getattr(model, field_name)
        path = f"{prefix}{field_name}"
        marks = [mark for mark in info.metadata if isinstance(mark, StageRef)] + _nested_marks(info.annotation)
        if isinstance(value, BaseModel):
            yield from references(value, f"{path}.")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, BaseModel):
                    yield from references(item, f"{path}.{index}.")
                elif marks:
                    yield f"{path}.{index}", item, marks[0]
        elif isinstance(value, str) and marks:
            yield path, value, marks[0]


def _nested_marks(annotation: Any) -> list[StageRef]:
    """Find the marks inside ``list[Annotated[...]]`` and unions."""
    marks = [mark for mark in getattr(annotation, "__metadata__", ()) if isinstance(mark, StageRef)]
    for argument in getattr(annotation, "__args__", ()):
        marks += _nested_marks(argument)
    return marks
