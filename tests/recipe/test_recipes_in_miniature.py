"""The paper's tables in miniature and the recipe of real text: rows, ratios, claims, fair arms, text of its own."""

from __future__ import annotations

import re
from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rho1bench.recipe import CompareStage, CorpusStage, PackageSource, PretrainStage, Recipe, ScoreStage
from rho1bench.recipe.differences import differing_keys
from rho1bench.recipe.loading.load import load_recipe, shipped_recipes
from rho1bench.recipe.models.contest import members
from rho1bench.system.files import read_json

TABLES = ("table_3", "table_4", "table_5", "figure_9")
SEEDS = {1, 2, 3}
WORDS = {"reference_loss": "loss", "reference_entropy": "entropy"}


@pytest.fixture(scope="module")
def recipes() -> dict[str, Recipe]:
    return {name: load_recipe(name) for name in (*TABLES, "real_text")}


def arm(recipe: Recipe, name: str) -> PretrainStage:
    return recipe.stage(name, PretrainStage)


def rule_of(stage: PretrainStage) -> str:
    """A selection in the words of table 4: ``loss 70%``, ``entropy AND loss 70% n 70%``."""
    if stage.selection is None:
        return "none 100%"
    joined = stage.selection.all_of or stage.selection.any_of
    if not joined:
        return f"{WORDS.get(stage.selection.score, stage.selection.score)} {stage.selection.ratio:.0%}"
    names, ratios = [WORDS[part.score] for part in joined], [f"{part.ratio:.0%}" for part in joined]
    word, sign = ("AND", "n") if stage.selection.all_of else ("OR", "u")
    return f"{f' {word} '.join(names)} {f' {sign} '.join(ratios)}"


def points(rows: list[dict], treatment: int, baseline: int) -> str:
    """How far one row of a table is above or below another, as headers say it."""
    return f"{abs(rows[treatment]['AVG'] - rows[baseline]['AVG']):.1f}"


def header(name: str) -> str:
    return re.sub(r"\n#\s+", " ", shipped_recipes()[name].read_text().partition("\nname:")[0])


@pytest.mark.parametrize("name", [*TABLES, "real_text"])
def test_a_contest_has_three_counted_seeds_full_random_and_controls(recipes: dict[str, Recipe], name: str) -> None:
    first = recipes[name].stage("compare", CompareStage).contests[0]
    assert first.full
    assert first.random == "random"
    assert first.controls
    for contest in recipes[name].stage("compare", CompareStage).contests:
        assert {one.seed for one in members(contest, {stage.name: stage for stage in recipes[name].stages})} == SEEDS
        assert not contest.tuning_seeds


def test_table_3_has_its_six_rows_and_claims(recipes: dict[str, Recipe], shared_data) -> None:
    recipe, rows = recipes["table_3"], tables(shared_data)["table3_self_reference"]
    names = ["ct", "slm-loss", "slm-entropy", "slm-loss_and_entropy", "ppile_ct", "ppile_slm"]
    assert [rule_of(arm(recipe, f"{name}-seed1")) for name in names] == [
        "none 100%", "loss 70%", "entropy 70%", "loss AND entropy 70% n 70%",
        "none 100%", "loss AND entropy 80% n 80%",
    ]  # fmt: skip
    for seed in SEEDS:
        for scores in ("scores", "ppile-scores"):
            assert recipe.stage(f"{scores}-seed{seed}", ScoreStage).reference == f"ct-seed{seed}"
    claims = f"(by {points(rows, 1, 0)}, {points(rows, 2, 0)} and {points(rows, 3, 0)} points)"
    assert claims in header("table_3")
    assert f"beat the loss alone (by {points(rows, 3, 1)})" in header("table_3")
    assert f"ppile_slm beats ppile_ct (by {points(rows, 5, 4)})" in header("table_3")


def test_table_4_has_seven_of_its_rows(recipes: dict[str, Recipe], shared_data) -> None:
    rows = tables(shared_data)["table4_self_reference_full"]
    known = [f"{row['score_function']} {row['select_ratio'].partition(' (')[0]}" for row in rows]
    found = [
        rule_of(stage)
        for stage in recipes["table_4"].stages_of(PretrainStage)
        if stage.name.startswith(("ct-", "slm-")) and stage.seed == 1 and "random" not in stage.name
    ]
    assert len(set(found)) == len(found) == 7
    assert set(found) <= set(known)
    place = {rule: index for index, rule in enumerate(known)}
    by_70 = [points(rows, place[rule], 0) for rule in ("loss 70%", "entropy 70%")]
    by_50 = [points(rows, place[rule], 0) for rule in ("loss 50%", "entropy 50%")]
    assert f"(by {by_70[0]} points by loss, {by_70[1]} by entropy)" in header("table_4")
    assert f"50% is worse than ct (by {by_50[0]} and {by_50[1]})" in header("table_4")


def test_the_weak_reference_of_table_5_is_the_smaller_one(recipes: dict[str, Recipe], shared_data) -> None:
    recipe, rows = recipes["table_5"], tables(shared_data)["table5_weak_to_strong"]
    weak, strong = (arm(recipe, f"{name}-seed1") for name in ("weak_reference", "strong_reference"))
    sizes = [stage.shape(recipe).num_parameters for stage in (weak, strong)]  # type: ignore[union-attr]
    assert sizes[0] / sizes[1] == pytest.approx(0.30, abs=0.005), "as the header says"
    assert differing_keys(weak, strong) == ["init"]
    for name in ("weak", "strong"):
        stage = arm(recipe, f"arm-{name}-seed2")
        assert stage.init == "base-seed2"
        assert rule_of(stage) == "excess_loss 70%"
        assert recipe.stage(f"{name}_scores-seed2", ScoreStage).reference == f"{name}_reference-seed2"
    assert f"(by {points(rows, 1, 0)} points on average)" in header("table_5")


def test_figure_9_goes_from_40_to_100_percent(recipes: dict[str, Recipe]) -> None:
    found = [rule_of(arm(recipes["figure_9"], f"arm-excess_{percent}-seed3")) for percent in range(40, 100, 10)]
    assert found == [f"excess_loss {percent}%" for percent in range(40, 100, 10)]
    assert rule_of(arm(recipes["figure_9"], "arm-full-seed3")) == "none 100%"


@pytest.mark.parametrize(
    ("name", "baseline", "others", "key"),
    [
        ("table_3", "ct", ("slm-random", "slm-loss", "slm-loss_and_entropy"), "selection"),
        ("table_3", "ppile_ct", ("ppile_slm",), "selection"),
        ("table_3", "ct", ("mixed", "ppile_ct"), "corpus"),
        ("table_4", "ct", ("slm-random", "slm-entropy_50", "slm-entropy_70_or_loss_60"), "selection"),
        ("table_4", "ct", ("mixed",), "corpus"),
        ("table_5", "arm-full", ("mixed", "strong_reference"), "corpus"),
        ("figure_9", "arm-full", ("mixed", "reference"), "corpus"),
        ("real_text", "arm-full", ("control-mixed", "control-curated"), "corpus"),
        ("real_text", "arm-full", ("control-from_reference",), "init"),
        ("real_text", "arm-full", ("control-web_twice",), "max_steps"),
    ],
)
def test_rows_differ_in_what_they_say_alone(
    recipes: dict[str, Recipe], name: str, baseline: str, others: tuple[str, ...], key: str
) -> None:
    for seed in SEEDS:
        first = arm(recipes[name], f"{baseline}-seed{seed}")
        for other in others:
            assert differing_keys(first, arm(recipes[name], f"{other}-seed{seed}")) == [key]


def test_anyone_has_the_real_text_and_no_corpus_has_another_s_files(recipes: dict[str, Recipe]) -> None:
    recipe = recipes["real_text"]
    stages = {stage.name: stage for stage in recipe.stages_of(CorpusStage)}
    spans: dict[str, set[tuple[float, float]]] = {}
    for name, stage in stages.items():
        for source in stage.sources:
            assert isinstance(source, PackageSource)
            assert set(source.packages) <= dependencies()
            spans.setdefault(name, set()).add((source.files_from, source.files_to))
    assert spans.pop("mixed-text") == spans["curated-text"] | spans["web"]
    assert spans.pop("held-out") == spans.pop("web-held-out") == {(0.85, 1.0)}
    ends = sorted(span for found in spans.values() for span in found)
    assert len(ends) == 3
    assert all(one[1] <= other[0] for one, other in zip(ends, [*ends[1:], (0.85, 1.0)], strict=True))
    assert stages["held-out"].sources[0].packages == stages["curated-text"].sources[0].packages  # type: ignore[union-attr]


def dependencies() -> set[str]:
    """Everything that comes with rho1bench itself, extras left out."""
    found: set[str] = set()
    waiting = ["rho1bench"]
    while waiting:
        for line in requires(waiting.pop()) or []:
            requirement = Requirement(line)
            name = canonicalize_name(requirement.name)
            if name not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
                found.add(name)
                waiting.append(name)
    return found


def tables(shared_data) -> dict[str, list[dict]]:
    return read_json(shared_data / "reference" / "paper_tables.json")
