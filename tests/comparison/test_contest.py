"""A contest: what is chosen, what counts, and every number against its definition."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from contest_recipe import CONTEST, DEV, SUITE, TASKS, contest_recipe, write_run
from hypothesis import given, settings
from hypothesis import strategies as st
from small_recipe import stage

from rho1bench.comparison.contest.choice import Trial, choose_settings
from rho1bench.comparison.contest.contest import Entrant, adjusted, arm_difference, contest_suite
from rho1bench.comparison.contest.from_run import ContestRun, contest_of_run
from rho1bench.comparison.contest.results import ContestResult, ContestSuite
from rho1bench.comparison.crossed_effects import crossed_mean, equivalence_p, half_width, p_value
from rho1bench.comparison.eval_results import read_label
from rho1bench.comparison.signal_to_noise import task_signal
from rho1bench.comparison.statistics import exact_sign_flip_p
from rho1bench.errors import DataError
from rho1bench.recipe import CompareStage, EvalStage, Recipe
from rho1bench.system.files import read_json, read_jsonl, write_jsonl


def entrant(
    arm: str, role: str, skill: float, seeds: Iterable[int] = (1, 2, 3), rows: int = 40, seed: int = 0
) -> Entrant:
    seeds = tuple(seeds)
    generator = np.random.default_rng([seed, *arm.encode()])
    scores = {task: (generator.random((max(1, len(seeds)), rows)) < skill).astype(float) for task in TASKS}
    return Entrant(arm, role, "", seeds, scores)  # type: ignore[arg-type]


ARMS = [
    entrant("full", "full", 0.4),
    entrant("random", "random", 0.42),
    entrant("excess", "rule", 0.55),
    entrant("middle", "rule", 0.41),
    entrant("reference", "control", 0.7, seeds=()),
    entrant("filtered", "control", 0.6),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ContestRun:
    folder = tmp_path_factory.mktemp("contest")
    return contest_run(contest_recipe(folder), folder)


def contest_run(recipe: Recipe, folder: Path) -> ContestRun:
    folders = write_run(folder, recipe)
    (contest,) = recipe.stage("compare", CompareStage).contests
    return ContestRun(contest, recipe, recipe.stage("eval", EvalStage), folders)


@pytest.fixture(scope="module")
def result(run: ContestRun) -> ContestResult:
    return contest_of_run(run)


def fresh(run: ContestRun) -> ContestRun:
    return dataclasses.replace(run, _read={})


def copied(run: ContestRun, folder: Path) -> ContestRun:
    """The run in another place, to change it."""
    old = run.folders["eval"].parent
    shutil.copytree(old, folder, dirs_exist_ok=True)
    return dataclasses.replace(run, folders={name: folder / name for name in run.folders}, _read={})


def on(result: ContestResult, suite: str = SUITE) -> ContestSuite:
    return next(one for one in result.suites if one.suite == suite)


def test_settings_are_those_with_the_lowest_loss_on_the_tuning_seed(run: ContestRun, result: ContestResult) -> None:
    assert {one.arm: one.setting for one in result.chosen} == {
        "full": "lr2e-3", "random": "lr1e-3", "excess": "lr2e-3", "filtered": "", "reference": "",
    }  # fmt: skip
    assert {one.arm: one.at_edge for one in result.chosen if one.values} == {
        "full": False, "random": True, "excess": False,
    }  # fmt: skip
    loss = read_jsonl(run.folders["arm-full-lr4e-3-seed0"] / "metrics.jsonl")[-1]["validation_loss"]
    assert result.setting_of("full").values["lr4e-3"] == pytest.approx(loss)
    assert (result.terms.seeds, result.terms.tuning_seeds) == ([1, 2, 3], [0])
    assert result.terms.shared_stages == ["tokenizer", "web", "base", "scores"]


def test_scores_are_those_of_the_counted_runs(run: ContestRun, result: ContestResult) -> None:
    excess = on(result).arm("excess")
    labels = {seed: read_label(run.folders["eval"], f"arm-excess-lr2e-3-seed{seed}") for seed in (1, 2, 3)}
    for seed, label in labels.items():
        assert excess.seeds[str(seed)] == pytest.approx(label.results.suites[SUITE].average)
    assert excess.score == pytest.approx(np.mean(list(excess.seeds.values())))
    strata = [
        np.stack(
            [
                labels[seed].tasks[task].values()
                - read_label(run.folders["eval"], f"arm-full-lr2e-3-seed{seed}").tasks[task].values()
                for seed in labels
            ]
        )
        for task in TASKS
    ]
    found, against = crossed_mean(strata), excess.against["full"]
    assert against.difference == pytest.approx(float(found.mean))
    assert against.p == pytest.approx(float(p_value(found)))
    assert against.ci[1] - against.ci[0] == pytest.approx(2 * float(half_width(found)))
    assert against.equivalence.p == pytest.approx(float(equivalence_p(found, 0.03)))
    assert against.p_tasks == pytest.approx(exact_sign_flip_p([values.mean() for values in strata]))
    assert (against.p_seeds, against.covers) == (None, "seeds and documents")


def test_what_an_arm_took_holds_what_it_alone_needed(run: ContestRun, result: ContestResult) -> None:
    """The base is common to all; scoring is not, of the rule that reads its scores."""
    own = {
        arm: read_json(run.folders[f"arm-{arm}-lr2e-3-seed1"] / "training.json")["cost"]["flops"]
        for arm in ("full", "excess")
    }
    scoring = read_json(run.folders["scores"] / "scores.json")["cost"]["flops"]
    excess, full = on(result).arm("excess"), on(result).arm("full")
    assert (excess.flops, excess.seconds) == (pytest.approx(own["excess"] + scoring), 12.0)
    assert (full.flops, full.seconds) == (pytest.approx(own["full"]), 10.0)


def test_every_arm_meets_full_random_and_the_best_control(result: ContestResult) -> None:
    suite = on(result)
    assert [one.suite for one in result.suites] == [SUITE, DEV]
    assert suite.best_control == "reference"
    assert [one.arm for one in suite.arms] == sorted(
        (one.arm for one in suite.arms), key=lambda arm: -suite.arm(arm).score
    )
    baselines = {one.arm: {part: value.baseline for part, value in one.against.items()} for one in suite.arms}
    every = {"full": "full", "random": "random", "control": "reference"}
    assert baselines["excess"] == every
    assert baselines["full"] == {part: name for part, name in every.items() if part != "full"}
    assert baselines["reference"] == {"full": "full", "random": "random"}
    against = suite.arm("excess").against["control"]
    assert [one.seed for one in against.seeds] == [1, 2, 3]
    assert against.cautions == ["reference was trained once: its own spread over seeds is not in the interval"]


@pytest.mark.parametrize("choose_by", ["validation_loss", DEV])
def test_no_answer_that_counts_can_move_the_choice(run: ContestRun, tmp_path: Path, choose_by: str) -> None:
    """Every verdict and loss of the counted seeds is changed: the choice stays; and it is made before any is read."""
    contest = run.contest.model_copy(update={"choose_by": choose_by})
    changed = dataclasses.replace(copied(run, tmp_path), contest=contest)
    before = choose_settings(changed.trials(), [0], lower_is_better=choose_by == "validation_loss")
    assert not changed._read
    for path in changed.folders["eval"].glob("*seed[123]*/samples_*.jsonl"):
        write_jsonl(path, [row | {"score": 1.0 - row["score"]} for row in read_jsonl(path)])
    for name in changed.folders:
        if name.startswith("arm-") and not name.endswith("seed0"):
            write_jsonl(
                changed.folders[name] / "metrics.jsonl", [{"validation_loss": 9.0 if "lr2e-3" in name else 0.1}]
            )
    assert choose_settings(changed.trials(), [0], lower_is_better=choose_by == "validation_loss") == before


def test_the_tuning_seed_counts_in_nothing(run: ContestRun, result: ContestResult, tmp_path: Path) -> None:
    changed = copied(run, tmp_path)
    for path in changed.folders["eval"].glob("*seed0"):
        shutil.rmtree(path)
    assert contest_of_run(changed) == result


def test_choosing_by_a_suite_takes_the_highest(run: ContestRun) -> None:
    chosen = contest_of_run(
        dataclasses.replace(run, contest=run.contest.model_copy(update={"choose_by": DEV}), _read={})
    )
    assert [one.suite for one in chosen.suites] == [SUITE]
    for one in chosen.chosen:
        assert not one.values or one.values[one.setting] == max(one.values.values())


def test_arms_that_were_evaluated_otherwise_are_refused(run: ContestRun, tmp_path: Path) -> None:
    changed = copied(run, tmp_path)
    path = changed.folders["eval"] / "arm-excess-lr2e-3-seed2" / "samples_task_a.jsonl"
    write_jsonl(path, [row | {"doc": {"question": "another"}} for row in read_jsonl(path)])
    with pytest.raises(DataError, match=r"arm-excess-lr2e-3-seed2(.|\n)*other contents") as caught:
        contest_of_run(changed)
    assert "cannot be compared" in str(caught.value)


def test_a_run_without_what_decides_is_named(run: ContestRun, tmp_path: Path) -> None:
    changed = copied(run, tmp_path)
    write_jsonl(changed.folders["arm-excess-lr1e-3-seed0"] / "metrics.jsonl", [{"step": 1}])
    with pytest.raises(DataError, match="arm-excess-lr1e-3-seed0: has no finite value"):
        contest_of_run(changed)


def test_holm_runs_over_arms_and_suites_but_not_over_controls() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    other = [dataclasses.replace(one, scores={"x": one.scores["task_a"]}) for one in ARMS]
    suites = adjusted([contest_suite("one", ARMS, margin=0.05), contest_suite("two", other, margin=0.05)])
    for part, names in (("full", ("random", "excess", "middle")), ("control", ("full", "random", "excess", "middle"))):
        family = [suite.arm(name).against[part] for suite in suites for name in names]
        expected = multitest.multipletests([one.p for one in family], method="holm")[1]
        assert [one.p_holm for one in family] == pytest.approx(expected.tolist())
        equal = multitest.multipletests([one.equivalence.p for one in family], method="holm")[1]
        assert [one.equivalence.p_holm for one in family] == pytest.approx(equal.tolist())
    controls = [suite.arm(name).against["full"] for suite in suites for name in ("reference", "filtered")]
    expected = multitest.multipletests([one.p for one in controls], method="holm")[1]
    assert [one.p_holm for one in controls] == pytest.approx(expected.tolist())


def test_five_seeds_have_an_exact_p_and_one_speaks_of_documents() -> None:
    five = [entrant(name, "rule", skill, seeds=range(1, 6)) for name, skill in (("a", 0.6), ("b", 0.4))]
    found = arm_difference(*five, margin=0.01)
    assert found.p_seeds == exact_sign_flip_p([one.difference for one in found.seeds]) == 0.0625
    one = arm_difference(*[entrant(name, "rule", 0.5, seeds=[4]) for name in "ab"], margin=0.01)
    assert (one.covers, one.spread.seeds) == ("documents", None)
    assert one.cautions == ["1 counted seed says nothing of others"]
    assert one.seeds[0].ci == pytest.approx(one.ci)


def test_two_groups_of_seeds_are_told() -> None:
    scores = np.zeros((6, 20))
    scores[3:, :15] = 1.0
    rows = tuple(range(6))
    arm = Entrant("a", "rule", "", rows, {"x": scores})
    found = arm_difference(arm, Entrant("b", "rule", "", rows, {"x": np.zeros((6, 20))}), margin=0.01)
    assert "two groups" in found.cautions[0]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(-0.5, 0.5))
def test_swapping_arms_flips_every_sign_and_constants_cancel(seed: int, constant: float) -> None:
    left, right = (entrant(name, "rule", 0.5, rows=12, seed=seed) for name in "ab")
    found, swapped = arm_difference(left, right, margin=0.1), arm_difference(right, left, margin=0.1)
    assert swapped.difference == pytest.approx(-found.difference)
    assert swapped.ci == pytest.approx((-found.ci[1], -found.ci[0]))
    assert swapped.equivalence.p == pytest.approx(found.equivalence.p)
    assert swapped.tasks == pytest.approx({task: -value for task, value in found.tasks.items()})
    assert (swapped.p, swapped.p_tasks) == pytest.approx((found.p, found.p_tasks))
    both = [
        dataclasses.replace(one, scores={task: values + constant for task, values in one.scores.items()})
        for one in (left, right)
    ]
    moved = arm_difference(*both, margin=0.1)
    assert (moved.difference, moved.p) == pytest.approx((found.difference, found.p), abs=1e-9)


def test_arms_of_unlike_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="same seeds"):
        contest_suite("x", [ARMS[0], entrant("excess", "rule", 0.5, seeds=[1, 2])], margin=0.1)


def test_lower_is_better_where_bits_are_counted() -> None:
    suite = contest_suite("bits", ARMS, margin=0.01, unit="bits per byte")
    assert suite.best_control == "filtered"
    assert suite.arms[0].score == min(one.score for one in suite.arms)


def trial(setting: str, seed: int, value: float | None, arm: str = "a") -> Trial:
    return Trial(f"{arm}-{setting}-seed{seed}", arm, setting, float(setting), seed, value)


def test_the_choice_is_the_best_mean_over_tuning_seeds_and_the_first_of_equals() -> None:
    trials = [trial("1", 0, 1.0), trial("1", 1, 3.0), trial("2", 0, 2.0), trial("2", 1, 2.0), trial("3", 0, 2.5)]
    trials += [trial("3", 1, 2.5), trial("1", 7, -99.0), trial("9", 0, None, arm="b")]
    found = choose_settings(trials, [0, 1], lower_is_better=True)
    assert [(one.arm, one.setting, one.at_edge) for one in found] == [("a", "1", True), ("b", "9", False)]
    assert found[0].values == {"1": 2.0, "2": 2.0, "3": 2.5}
    assert choose_settings(trials, [0, 1], lower_is_better=False)[0].setting == "3"
    with pytest.raises(DataError, match="'a' has no run with the setting 1 on the tuning seed 5"):
        choose_settings(trials, [0, 5], lower_is_better=True)


def test_signal_and_noise_are_standard_deviations() -> None:
    arms = {"full": [0.4, 0.5], "random": [0.5, 0.6], "excess": [0.8, 0.9]}
    found = task_signal(arms, [[0.0, 0.1, 0.3, 0.3], [0.2, 0.2, 0.2]])
    assert found.between_arms == pytest.approx(np.std([0.45, 0.55, 0.85], ddof=1))
    assert found.between_seeds == pytest.approx(np.sqrt(0.005))
    pooled = np.sqrt((np.var([0.1, 0.3, 0.3], ddof=1) + 0.0) / 2)
    assert found.between_checkpoints == pytest.approx(pooled)
    assert found.ratio == pytest.approx(found.between_arms / pooled)
    nothing = task_signal({"full": [0.5]})
    assert (nothing.between_arms, nothing.between_seeds, nothing.ratio) == (None, None, None)


def test_signal_of_a_run_reads_its_last_checkpoints(result: ContestResult) -> None:
    signal = on(result).signal["task_a"]
    arms = {one.arm: one for one in on(result).arms if one.role != "control"}
    assert signal.between_arms == pytest.approx(np.std([one.tasks["task_a"] for one in arms.values()], ddof=1))
    assert signal.between_checkpoints is not None
    assert on(result, DEV).signal["dev_a"].between_checkpoints is None


WRONG = {
    "an unknown baseline": ({"full": "ful"}, "compare.contests.0.full: there is no arm 'ful' (did you mean 'full'?)"),
    "an unknown axis": ({"choose": "learning_rat"}, "no arm has the axis 'learning_rat' (did you mean"),
    "an unknown arm axis": ({"arm_axes": ["selektion"]}, "contests.0.arm_axes: no arm has the axis 'selektion'"),
    "arms that are the same": ({"choose": None}, "are both the arm 'full' of one seed; name the axis"),
    "no seed to choose on": ({"tuning_seeds": []}, "has 3 settings to choose from, but no seed to choose on"),
    "no seed that counts": ({"tuning_seeds": [0, 1, 2, 3]}, "every seed serves to choose, so none counts"),
    "an unknown seed": ({"tuning_seeds": [0, 9]}, "no arm is trained with the seed 9; seeds: 0, 1, 2, 3"),
    "an unknown suite": ({"suites": ["mini_gsm8"]}, "evaluated on 'mini_gsm8' (did you mean 'mini_gsm8k'?)"),
    "a suite that is tested": ({"suites": [DEV], "choose_by": DEV}, "is tested in this contest; choose by other"),
    "an unknown way to choose": ({"choose_by": "validation_los"}, "(did you mean 'validation_loss'?)"),
    "an arm that nobody evaluates": ({"controls": ["scores"]}, "of kind score; expected an earlier stage of kind"),
    "no margin": ({"margin": 0}, "contests.0.margin: expected"),
    "full against itself": ({"random": "full"}, "cannot be both full and random"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_are_told_with_the_nearest_word(case: str, tmp_path: Path) -> None:
    from rho1bench.errors import RecipeError

    change, message = WRONG[case]
    with pytest.raises(RecipeError) as caught:
        contest_recipe(tmp_path, lambda data: stage(data, "compare").update(contests=[CONTEST | change]))
    assert message in str(caught.value)


def test_one_document_a_task_is_refused(tmp_path: Path) -> None:
    from rho1bench.errors import RecipeError

    def edit(data: dict) -> None:
        for evaluation in stage(data, "eval")["evaluations"]:
            evaluation["limit"] = 1

    with pytest.raises(RecipeError, match=r"contests\.0\.arms: 'eval' asks them one document a task"):
        contest_recipe(tmp_path, edit)


def test_a_comparison_of_nothing_is_refused(tmp_path: Path) -> None:
    from rho1bench.errors import RecipeError

    with pytest.raises(RecipeError, match="compares nothing"):
        contest_recipe(tmp_path, lambda data: stage(data, "compare").update(contests=[]))


def test_plain_stages_are_arms_of_their_own_names(tmp_path: Path) -> None:
    def edit(data: dict) -> None:
        stage(data, "compare")["contests"] = [{"arms": ["base", "reference"], "full": "base"}]

    recipe = contest_recipe(tmp_path, edit)
    found = contest_of_run(contest_run(recipe, tmp_path))
    against = on(found).arm("reference").against["full"]
    assert (found.terms.seeds, against.covers, against.seeds) == ([], "documents", [])
    assert against.difference > 0.3
