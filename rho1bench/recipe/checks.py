"""What a recipe must fulfil beyond the types of its fields: stages that name each other rightly, sizes that fit.

Works on raw data, and passes over anything of the wrong type, which the schema has reported already.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rho1bench.recipe.merging import RawRecipe, nearest
from rho1bench.recipe.schema import raw_references, stage_models, stage_node
from rho1bench.recipe.score_names import BUILT_IN

Json = dict[str, Any]


def check(raw: RawRecipe) -> None:
    """Note every problem between and inside the stages in ``raw.problems``."""
    stages = [stage for stage in _list(raw.data.get("stages")) if _is_stage(stage)]
    earlier: dict[str, Json] = {}
    every = {stage["name"]: stage for stage in stages}
    for stage in stages:
        path = ("stages", stage["name"])
        for inner, message in (*_check_references(stage, earlier, every), *_check_stage(stage, earlier)):
            raw.problem((*path, *inner), message)
        earlier[stage["name"]] = stage


def _check_references(stage: Json, earlier: Json, every: Json) -> Iterator[tuple[tuple[str, ...], str]]:
    for place, name, kinds in raw_references(stage_node(stage["kind"]), stage):
        path = tuple(str(part) for part in place)
        wanted = f"expected an earlier stage of kind {' or '.join(kinds)}"
        fitting = [other for other, found in earlier.items() if found["kind"] in kinds]
        if name == stage["name"]:
            yield path, f"a stage cannot read itself; {wanted}"
        elif name in earlier:
            if earlier[name]["kind"] not in kinds:
                yield path, f"the stage {name!r} is of kind {earlier[name]['kind']}; {wanted}{nearest(name, fitting)}"
        elif name in every:
            yield path, f"the stage {name!r} comes later; a stage reads only those before it"
        else:
            yield path, f"there is no stage {name!r}; {wanted}{nearest(name, fitting or every)}"


def _check_stage(stage: Json, earlier: Json) -> Iterator[tuple[tuple[str, ...], str]]:
    checks = {
        "pretrain": (_check_training, _check_selection, _check_pretrain_length, _check_model),
        "sft": (_check_training, _check_sft_length, _check_model),
        "eval": (_check_context,),
        "compare": (_check_pairs,),
        "report": (_check_report,),
    }
    for function in checks.get(stage["kind"], ()):
        yield from function(stage, earlier)


def _check_training(stage: Json, earlier: Json) -> Iterator[tuple[tuple[str, ...], str]]:
    batch, micro, steps = (
        _int(stage.get("batch_size")),
        _int(stage.get("micro_batch_size")),
        _int(stage.get("max_steps")),
    )
    if batch and micro and batch % micro:
        yield ("micro_batch_size",), f"{micro} does not divide batch_size {batch}"
    if steps and (_int(stage.get("num_checkpoints")) or 0) >= steps:
        yield ("num_checkpoints",), f"expected fewer than max_steps ({steps}), got {stage['num_checkpoints']}"


def _check_selection(stage: Json, earlier: Json) -> Iterator[tuple[tuple[str, ...], str]]:
    for key in ("selection", "monitor"):
        selection = _dict(stage.get(key))
        scores = selection.get("token_scores")
        if not selection:
            continue
        reading = [score for score in _scores(selection) if BUILT_IN.get(score)]
        if reading and scores is None:
            yield (key, "token_scores"), f"missing; the score {reading[0]!r} needs the name of an earlier score stage"
        corpus = earlier.get(scores, {}).get("corpus") if isinstance(scores, str) else None
        if corpus and isinstance(stage.get("corpus"), str) and corpus != stage["corpus"]:
            yield (
                (key, "token_scores"),
                f"the stage {scores!r} scores the corpus {corpus!r}, but this stage trains on {stage['corpus']!r}",
            )


def _scores(selection: Json) -> list[str]:
    parts = _list(selection.get("all_of")) + _list(selection.get("any_of"))
    named = [_dict(part).get("score") for part in parts] if parts else [selection.get("score", "excess_loss")]
    return [name for name in named if isinstance(name, str)]


def _check_model(stage: Json, earlier: Json) -> Iterator[tuple[tuple[str, ...], str]]:
    model = _dict(stage.get("init"))
    hidden, heads = _int(model.get("hidden_size")), _int(model.get("num_attention_heads"))
    groups = _int(model.get("num_key_value_heads"))
    if hidden and heads and (hidden % heads or hidden // heads % 2):
        yield ("init", "hidden_size"), f"{hidden} is not an even multiple of num_attention_heads ({heads})"
    if heads and groups and heads % groups:
        yield ("init", "num_key_value_heads"), f"{groups} does not divide num_attention_heads ({heads})"


def _check_pretrain_length(stage: Json, earlier: Json) -> Iterator[tuple[tuple[str, ...], str]]:
    positions = _positions(stage, earlier)
    for key in ("corpus", "validation"):
        block = _int(_named(earlier, stage.get(key)).get("block_size"))
        if positions and block and block > positions:
            yield (
                (key,),
                f"its blocks of {block} tokens are longer than the model's max_position_embeddings ({positions})",
            )


def _check_sft_length(stage: Json, earlier: Json) -> Iterator[tuple[tuple[str, ...], str]]:
    positions, length = _positions(stage, earlier), _int(stage.get("max_length"))
    if positions and length and length > positions:
        yield ("max_length",), f"expected at most the model's max_position_embeddings ({positions}), got {length}"


def _check_context(stage: Json, earlier: Json) -> Iterator[tuple[tuple[str, ...], str]]:
    length = _int(stage.get("max_model_len", 512))
    for name in dict.fromkeys(_evaluated(stage)):
        positions = _positions(_named(earlier, name), earlier)
        if positions and length and length > positions:
            yield (
                ("max_model_len",),
                f"expected at most max_position_embeddings of {name!r} ({positions}), got {length}",
            )
            return


def _check_pairs(stage: Json, earlier: Json) -> Iterator[tuple[tuple[str, ...], str]]:
    evaluation = _named(earlier, stage.get("evaluation"))
    evaluated = _evaluated(evaluation)
    if evaluation.get("kind") != "eval":
        return
    for index, pair in enumerate(_list(stage.get("pairs"))):
        sides = {side: _dict(pair).get(side) for side in ("treatment", "baseline")}
        for side, name in sides.items():
            if isinstance(name, str) and name not in evaluated:
                valid = ", ".join(dict.fromkeys(evaluated))
                message = (
                    f"{name!r} is not evaluated by {evaluation['name']!r}{nearest(name, evaluated)}; evaluated: {valid}"
                )
                yield ("pairs", str(index), side), message
        if sides["treatment"] == sides["baseline"] is not None:
            yield ("pairs", str(index)), f"compares {sides['treatment']!r} with itself"


def _check_report(stage: Json, earlier: Json) -> Iterator[tuple[tuple[str, ...], str]]:
    compared, evaluation = _named(earlier, stage.get("comparison")).get("evaluation"), stage.get("evaluation")
    if isinstance(compared, str) and isinstance(evaluation, str) and compared != evaluation:
        yield ("evaluation",), f"the comparison reads the evaluation {compared!r}, this report {evaluation!r}"


def _evaluated(stage: Json) -> list[str]:
    """Return the checkpoints whose last step an eval stage evaluates."""
    return [
        name
        for item in _list(stage.get("evaluations"))
        if not _dict(item).get("trajectory")
        for name in _list(_dict(item).get("checkpoints"))
        if isinstance(name, str)
    ]


def _positions(stage: Json, earlier: Json) -> int | None:
    """Return max_position_embeddings of the model a training stage starts from, through its ancestors."""
    seen: set[str] = set()
    init = stage.get("init")
    while isinstance(init, str) and init in earlier and init not in seen:
        seen.add(init)
        init = earlier[init].get("init")
    return _int(_dict(init).get("max_position_embeddings"))


def _is_stage(stage: Any) -> bool:
    named = isinstance(stage, dict) and isinstance(stage.get("name"), str) and isinstance(stage.get("kind"), str)
    return named and stage["kind"] in stage_models()


def _named(earlier: Json, name: Any) -> Json:
    return _dict(earlier.get(name)) if isinstance(name, str) else {}


def _dict(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _int(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
