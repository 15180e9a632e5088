"""What a recipe must fulfil beyond the types of its fields: stages that name each other rightly, sizes that fit.

Works on raw data, and passes over anything of the wrong type, which the schema has reported already. The rules about
training stages stand in ``training_checks``, those about vocabularies in ``vocabulary_checks``.
"""

from __future__ import annotations

from typing import Any

from rho1bench.recipe.loading.json_schema import raw_references, stage_models, stage_node
from rho1bench.recipe.loading.layers import RawRecipe, nearest
from rho1bench.recipe.rules.raw import Json, Messages, as_dict, as_int, as_list, named, positions
from rho1bench.recipe.rules.training import (
    check_batch,
    check_budget,
    check_corpus,
    check_model,
    check_precision,
    check_pretrain_length,
    check_selection,
    check_sft_length,
)
from rho1bench.recipe.rules.vocabulary import (
    check_init_vocabulary,
    check_reference_of_model,
    check_scoring,
    check_validation_vocabulary,
)


def check(raw: RawRecipe) -> None:
    """Note every problem between and inside the stages in ``raw.problems``."""
    stages = [stage for stage in as_list(raw.data.get("stages")) if _is_stage(stage)]
    earlier: dict[str, Json] = {}
    every = {stage["name"]: stage for stage in stages}
    for stage in stages:
        path = ("stages", stage["name"])
        for inner, message in (*_check_references(stage, earlier, every), *_check_stage(stage, earlier)):
            raw.problem((*path, *inner), message)
        earlier[stage["name"]] = stage


def _check_references(stage: Json, earlier: Json, every: Json) -> Messages:
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


def _check_stage(stage: Json, earlier: Json) -> Messages:
    training = (check_batch, check_precision, check_model, check_init_vocabulary, check_selection)
    checks = {
        "corpus": (check_corpus,),
        "score": (check_scoring,),
        "pretrain": (
            *training,
            check_budget,
            check_pretrain_length,
            check_validation_vocabulary,
            check_reference_of_model,
        ),
        "sft": (*training, check_sft_length),
        "eval": (_check_context,),
        "compare": (_check_pairs,),
        "report": (_check_report,),
    }
    for function in checks.get(stage["kind"], ()):
        yield from function(stage, earlier)


def _check_context(stage: Json, earlier: Json) -> Messages:
    length = as_int(stage.get("max_model_len", 512))
    for name in dict.fromkeys(_evaluated(stage)):
        limit = positions(named(earlier, name), earlier)
        if limit and length and length > limit:
            yield (
                ("max_model_len",),
                f"expected at most max_position_embeddings of {name!r} ({limit}), got {length}",
            )
            return


def _check_pairs(stage: Json, earlier: Json) -> Messages:
    evaluation = named(earlier, stage.get("evaluation"))
    evaluated = _evaluated(evaluation)
    if evaluation.get("kind") != "eval":
        return
    for index, pair in enumerate(as_list(stage.get("pairs"))):
        sides = {side: as_dict(pair).get(side) for side in ("treatment", "baseline")}
        for side, name in sides.items():
            if isinstance(name, str) and name not in evaluated:
                valid = ", ".join(dict.fromkeys(evaluated))
                message = (
                    f"{name!r} is not evaluated by {evaluation['name']!r}{nearest(name, evaluated)}; evaluated: {valid}"
                )
                yield ("pairs", str(index), side), message
        if sides["treatment"] == sides["baseline"] is not None:
            yield ("pairs", str(index)), f"compares {sides['treatment']!r} with itself"


def _check_report(stage: Json, earlier: Json) -> Messages:
    compared, evaluation = named(earlier, stage.get("comparison")).get("evaluation"), stage.get("evaluation")
    if isinstance(compared, str) and isinstance(evaluation, str) and compared != evaluation:
        yield ("evaluation",), f"the comparison reads the evaluation {compared!r}, this report {evaluation!r}"


def _evaluated(stage: Json) -> list[str]:
    """Return the checkpoints whose last step an eval stage evaluates."""
    return [
        name
        for item in as_list(stage.get("evaluations"))
        if not as_dict(item).get("trajectory")
        for name in as_list(as_dict(item).get("checkpoints"))
        if isinstance(name, str)
    ]


def _is_stage(stage: Any) -> bool:
    named = isinstance(stage, dict) and isinstance(stage.get("name"), str) and isinstance(stage.get("kind"), str)
    return named and stage["kind"] in stage_models()
