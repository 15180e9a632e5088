"""Short names of suites in a recipe, ``math`` for ``rho1_math9``: the words that ``rho1bench eval --suite`` takes."""

from __future__ import annotations

from collections.abc import Iterator

from rho1bench.paper.suites import suites_called
from rho1bench.recipe.loading.layers import Path_, RawRecipe
from rho1bench.recipe.loading.yaml_text import Yaml, YamlMap


def expand_suites(raw: RawRecipe) -> None:
    """Put the full names of suites in the place of short ones, in evaluations, contests and benchmark texts."""
    stages = raw.data.get("stages")
    for stage in stages if isinstance(stages, list) else ():
        if not isinstance(stage, dict) or not isinstance(stage.get("name"), str):
            continue
        for holder, path in _holders(stage):
            if isinstance(holder.get("suites"), list):
                holder["suites"] = _expanded(raw, holder["suites"], (*path, "suites"))
            chosen = holder.get("choose_by")
            if isinstance(chosen, str) and len(names := _full_names(chosen)) == 1:
                holder["choose_by"] = names[0]


def _holders(stage: YamlMap) -> Iterator[tuple[YamlMap, Path_]]:
    """Yield every mapping of a stage that has a key ``suites``, with its key path."""
    if stage.get("kind") == "benchmark_texts":
        yield stage, ("stages", stage["name"])
    key = {"eval": "evaluations", "compare": "contests"}.get(str(stage.get("kind")), "")
    items = stage.get(key)
    if not isinstance(items, list):
        return
    stage[key] = items = [dict(item) if isinstance(item, dict) else item for item in items]  # aliases share them
    for index, item in enumerate(items):
        if isinstance(item, dict):
            yield item, ("stages", stage["name"], key, str(index))


def _full_names(word: str) -> list[str]:
    """Return what a word stands for; in ``gold_answers:math`` the word after the colon."""
    head, colon, name = word.rpartition(":")
    return [f"{head}{colon}{full}" for full in suites_called([name])]


def _expanded(raw: RawRecipe, suites: list[Yaml], path: Path_) -> list[Yaml]:
    found: list[tuple[Yaml, Path_]] = []
    for index, word in enumerate(suites):
        place = raw.written((*path, str(index)))
        names = _full_names(word) if isinstance(word, str) else [word]
        given = [name for name, _ in found]
        found += [(name, place) for name in names if not (name != word and (name in given or name in suites))]
    raw.moved |= {(*path, str(index)): place for index, (_, place) in enumerate(found)}
    return [name for name, _ in found]
