"""Chooses the setting of each arm (its learning rate, say) on seeds that never count.

The choice sees :class:`Trial`, which has no answer to a test document: whatever the tests say, the choice is the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rho1bench.comparison.contest.results import SettingChoice
from rho1bench.errors import DataError


@dataclass(frozen=True)
class Trial:
    """One training run as far as a choice may see it."""

    label: str
    arm: str
    setting: str
    number: float | None
    """What the setting stands for, where it is a number."""
    seed: int | None
    """None: trained once, for all seeds."""
    value: float | None
    """What the choice goes by; None where the run has not measured it."""


def choose_settings(
    trials: Iterable[Trial], tuning_seeds: Sequence[int], *, lower_is_better: bool
) -> list[SettingChoice]:
    """Return the setting with the best mean over ``tuning_seeds`` for every arm, of equals the first.

    Raises ``DataError`` where an arm with several settings lacks one of them on a tuning seed, or its value.
    """
    arms: dict[str, dict[str, list[Trial]]] = {}
    for trial in trials:
        arms.setdefault(trial.arm, {}).setdefault(trial.setting, []).append(trial)
    return [_chosen(arm, settings, tuning_seeds, lower_is_better) for arm, settings in arms.items()]


def _chosen(
    arm: str, settings: dict[str, list[Trial]], tuning_seeds: Sequence[int], lower_is_better: bool
) -> SettingChoice:
    if len(settings) == 1:
        return SettingChoice(arm=arm, setting=next(iter(settings)), values={}, at_edge=False)
    values = {setting: _mean(arm, setting, tried, tuning_seeds) for setting, tried in settings.items()}
    best = min(values, key=lambda setting: values[setting] if lower_is_better else -values[setting])
    numbers = {setting: tried[0].number for setting, tried in settings.items()}
    return SettingChoice(arm=arm, setting=best, values=values, at_edge=_is_at_edge(best, numbers))


def _mean(arm: str, setting: str, tried: Sequence[Trial], tuning_seeds: Sequence[int]) -> float:
    by_seed = {trial.seed: trial for trial in tried if trial.seed in tuning_seeds}
    missing = [seed for seed in tuning_seeds if seed not in by_seed]
    if missing or not by_seed:
        seeds = ", ".join(map(str, missing)) or "of the contest (there is none)"
        raise DataError(
            f"the arm {arm!r} has no run with the setting {setting} on the tuning seed {seeds}, so its settings cannot "
            "be compared. Train it there, or take the setting out of the contest."
        )
    values = []
    for trial in by_seed.values():
        if trial.value is None or not math.isfinite(trial.value):
            raise DataError(
                f"{trial.label}: has no finite value to choose settings by. Give the stage a `validation` corpus, or "
                "another `choose_by`."
            )
        values.append(trial.value)
    return math.fsum(values) / len(values)


def _is_at_edge(best: str, numbers: Mapping[str, float | None]) -> bool:
    """Tell whether the best of several numbers is the lowest or the highest; False where they are no numbers."""
    known = [number for number in numbers.values() if number is not None]
    return len(known) == len(numbers) and numbers[best] in (min(known), max(known))
