"""Rules about evaluation, comparison and report: contexts that fit, pairs that are evaluated, one evaluation."""

from __future__ import annotations

from collections.abc import Set
from itertools import product
from pathlib import Path

from rho1bench.paper.protocol import RANKED_SUITES
from rho1bench.paper.suites import SHORT_NAMES, SUITES, lm_eval_file, shipped_names, suites_called, yaml_names
from rho1bench.recipe.loading.layers import nearest
from rho1bench.recipe.models.corpus import CorpusStage
from rho1bench.recipe.models.evaluation import BenchmarkTextsStage, CompareStage, EvalStage, ReportStage
from rho1bench.recipe.models.training import TrainStage
from rho1bench.recipe.rules.rule import Earlier, Problems, rule
from rho1bench.recipe.rules.training import positions
from rho1bench.recipe.texts import text_of


@rule(EvalStage)
def context_fits_the_models(stage: EvalStage, earlier: Earlier) -> Problems:
    """The context of an evaluation is no longer than that of any model."""
    for name in dict.fromkeys(stage.final_checkpoints):
        limit = positions(earlier.stage(name, TrainStage), earlier)
        if limit and stage.max_model_len > limit:
            yield (
                ("max_model_len",),
                f"expected at most max_position_embeddings of {name!r} ({limit}), got {stage.max_model_len}",
            )
            return


@rule(EvalStage)
def suites_are_known(stage: EvalStage, earlier: Earlier) -> Problems:
    """Every suite of an evaluation is one, or a task."""
    where = stage.task_options.include_path
    if where is not None and not Path(where).is_dir():
        yield ("task_options", "include_path"), f"there is no folder {where!r}"
        return
    known = shipped_names() | (yaml_names(Path(where)).keys() if where is not None else set())
    for index, evaluation in enumerate(stage.evaluations):
        for place, name in enumerate(evaluation.suites):
            if text_of(name) is None and name not in known and lm_eval_file(name) is None:
                yield ("evaluations", str(index), "suites", str(place)), _unknown_suite(name, known)


@rule(EvalStage)
def shared_tasks_have_one_limit(stage: EvalStage, earlier: Earlier) -> Problems:
    """A task that two suites share is asked of a checkpoint once, so with one number of documents."""
    first: dict[tuple[str, str], tuple[str, int | None]] = {}
    for index, item in enumerate(stage.evaluations):
        for suite in () if item.trajectory else suites_called(item.suites):
            for key in product(item.checkpoints, SUITES.get(suite, (suite,))):
                other, limit = first.setdefault(key, (suite, item.limit))
                if limit != item.limit:
                    yield (
                        ("evaluations", str(index), "limit"),
                        f"{suite} and {other} share the task {key[1]}, which {key[0]!r} is asked once; give both one "
                        f"limit (here {item.limit}, there {limit})",
                    )
                    return


@rule(EvalStage)
def copies_go_with_vllm(stage: EvalStage, earlier: Earlier) -> Problems:
    """Only vLLM serves several copies of a model."""
    if stage.engine == "hf" and (stage.data_parallel_size or 1) > 1:
        yield ("data_parallel_size",), "the engine hf has one copy of the model; leave it out, or take engine: vllm"


@rule(BenchmarkTextsStage)
def benchmarks_are_known(stage: BenchmarkTextsStage, earlier: Earlier) -> Problems:
    """Every suite whose texts are gathered is one that ships, or a task."""
    for place, name in enumerate(stage.suites):
        if name not in shipped_names():
            yield ("suites", str(place)), _unknown_suite(name, shipped_names())


def _unknown_suite(name: str, known: Set[str]) -> str:
    close = nearest(name, [*SHORT_NAMES, *SUITES, *sorted(known)])
    return (
        f"there is no suite, group or task {name!r}{close}; suites: {', '.join((*SHORT_NAMES, *SUITES))}; "
        "`rho1bench tasks list` shows the tasks"
    )


@rule(EvalStage)
def changed_tasks_are_not_the_papers(stage: EvalStage, earlier: Earlier) -> Problems:
    """Nothing is changed about the suites of the paper, and sampling has a temperature."""
    options = stage.task_options
    changed = sorted(options.model_dump(exclude_defaults=True).keys() - {"include_path"})
    for index, evaluation in enumerate(stage.evaluations):
        for place, name in enumerate(evaluation.suites):
            if changed and name in RANKED_SUITES:
                yield (
                    ("evaluations", str(index), "suites", str(place)),
                    f"{name} is evaluated by the paper's protocol; task_options changes {', '.join(changed)}. Name its "
                    "tasks one by one, or leave task_options out",
                )
    if options.samples > 1 and not options.temperature:
        yield ("task_options", "samples"), "several samples of a greedy answer are the same; set a temperature above 0"
    if options.top_p is not None and not options.temperature:
        yield ("task_options", "top_p"), "has no effect on greedy decoding; set a temperature above 0"


@rule(EvalStage)
def texts_are_there(stage: EvalStage, earlier: Earlier) -> Problems:
    """Gold answers are those of a suite that is evaluated beside them, corpora are earlier stages."""
    for index, item in enumerate(stage.evaluations):
        for place, suite in enumerate(item.suites):
            kind, name = text_of(suite) or ("suite", suite)
            path = ("evaluations", str(index), "suites", str(place))
            if kind == "gold_answers" and name not in item.suites:
                yield path, f"{name!r} is not among these suites{nearest(name, item.suites)}; add it, its prompts serve"
            elif kind == "corpus":
                corpora = [other for other, found in earlier.by_name.items() if isinstance(found, CorpusStage)]
                if name not in corpora:
                    yield path, f"there is no earlier stage {name!r} of kind corpus{nearest(name, corpora)}"


@rule(CompareStage)
def pairs_are_evaluated(stage: CompareStage, earlier: Earlier) -> Problems:
    """Both sides of a pair are evaluated, and are not the same."""
    evaluated = earlier.stage(stage.evaluation, EvalStage).final_checkpoints
    valid = ", ".join(dict.fromkeys(evaluated))
    for index, pair in enumerate(stage.pairs):
        for side, name in (("treatment", pair.treatment), ("baseline", pair.baseline)):
            if name not in evaluated:
                yield (
                    ("pairs", str(index), side),
                    f"{name!r} is not evaluated by {stage.evaluation!r}{nearest(name, evaluated)}; evaluated: {valid}",
                )
        if pair.treatment == pair.baseline:
            yield ("pairs", str(index)), f"compares {pair.treatment!r} with itself"


@rule(ReportStage)
def report_reads_one_evaluation(stage: ReportStage, earlier: Earlier) -> Problems:
    """The comparison that a report reads is of the evaluation that it reads."""
    if stage.comparison is None:
        return
    compared = earlier.stage(stage.comparison, CompareStage).evaluation
    if compared != stage.evaluation:
        own = "none" if stage.evaluation is None else repr(stage.evaluation)
        yield ("evaluation",), f"the comparison reads the evaluation {compared!r}, this report {own}"
