"""Bits per byte on a run's page: of each compared pair with intervals, and of every final checkpoint."""

from __future__ import annotations

from collections.abc import Mapping

from rho1bench.comparison.console_table import bits_rows
from rho1bench.comparison.run_summary import RunSummary
from rho1bench.rendering import numbers as fmt


def bits_tables(summary: RunSummary) -> dict[str, object] | None:
    """Return bits per byte as rows: of each compared pair, and of all checkpoints; None where nothing was measured."""
    found = summary.bits_per_byte
    if found is None:
        return None
    texts = {f"{name} (corpus)": entry for name, entry in found.corpora.items()}
    averages: dict[str, Mapping[str, float]] = {}
    for suite, entry in found.gold_answers.items():
        averages[f"gold answers of {suite}, mean"] = entry.average
        texts |= entry.tasks
    labels = list(dict.fromkeys(label for entry in texts.values() for label in entry.checkpoints))
    rows = [[name, *(fmt.bits(values.get(label)) for label in labels)] for name, values in averages.items()]
    rows += [[name, *(fmt.bits(entry.checkpoints.get(label)) for label in labels)] for name, entry in texts.items()]
    pairs = [(pair, pair.bits_per_byte) for pair in summary.comparisons if pair.bits_per_byte is not None]
    return {
        "labels": [fmt.label_name(label) for label in labels],
        "rows": rows,
        "pairs": [
            {
                "treatment": fmt.label_name(pair.treatment),
                "baseline": fmt.label_name(pair.baseline),
                "rows": bits_rows(bits),
            }
            for pair, bits in pairs
        ],
    }
