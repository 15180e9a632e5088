"""Sums of losses over optimizer steps, from which the rows of ``metrics.jsonl`` are made."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from rho1bench.sizing.flops import Work


@dataclass
class LossSums:
    """Sums over one or more optimizer steps; losses in nats."""

    selected_sum: float = 0.0
    """Of selected tokens; of a rule that weighs tokens, each times its weight."""
    selected_num: int = 0
    """Tokens whose loss is optimised: of a rule that weighs tokens, those whose weight is not 0."""
    all_sum: float = 0.0
    all_num: int = 0
    ranked_sum: float = 0.0
    """Unweighted."""
    ranked_num: int = 0
    """Tokens that the ranking keeps: the selected ones, or for a baseline its ``monitor``'s; 0 without ranking."""
    tokens: int = 0
    """Tokens read, the first of each block included."""
    threshold: float | None = None
    """Lowest score that was kept in the last step."""
    pre_pass_seconds: float = 0.0
    """Seconds of the score-only pass before the step, where the choice needs every micro-batch's losses."""
    weight_sum: float = 0.0
    """Sum of the weights, which ``selected_sum`` is divided by; 0 for a choice, which divides by its number."""
    weight_square_sum: float = 0.0
    trained_rows: int = 0
    """Rows of the output head that went backward."""
    forward_rows: int = 0
    """Rows of the output head without a gradient: for the ranking, or for the losses on record."""
    forward_tokens: int = 0
    """Tokens of further forward passes of the whole model: the score-only pass, for one."""

    skipped_steps: int = 0
    """Steps that were left out because a loss or gradient was not finite; nothing of them is in the sums of losses."""

    @property
    def work(self) -> Work:
        """What ``sizing.flops`` counts operations of."""
        return Work(self.tokens, self.trained_rows, self.forward_tokens, self.forward_rows + self.forward_tokens)

    def add(self, other: LossSums) -> None:
        """Add a later step's sums to these."""
        for field in fields(self):
            if field.name != "threshold":
                setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
        self.threshold = other.threshold

    def without_losses(self) -> LossSums:
        """Return what is left of a skipped step: what it read and worked, and that it was skipped."""
        return LossSums(
            tokens=self.tokens,
            pre_pass_seconds=self.pre_pass_seconds,
            trained_rows=self.trained_rows,
            forward_rows=self.forward_rows,
            forward_tokens=self.forward_tokens,
            skipped_steps=1,
        )

    def as_dict(self) -> dict[str, float | None]:
        """Return the fields for a resume point."""
        return asdict(self)

    def row(self) -> dict[str, float | None]:
        """Return the losses and ratios of a metrics row.

        ``loss`` is what is optimised. Of a rule that weighs tokens, ``loss_selected`` is the plain mean over those
        whose weight is not 0, ``select_ratio`` their share, and ``effective_ratio`` the share of equally weighted
        tokens that would average as much noise away: (sum of weights)^2 / (number * sum of squares), Kish's effective
        sample size.
        """
        row = {
            "loss": _mean(self.selected_sum, self.weight_sum or self.selected_num),
            "loss_all": _mean(self.all_sum, self.all_num),
            "loss_selected": _mean(self.ranked_sum, self.ranked_num),
            "loss_unselected": self._unselected(),
            "select_ratio": _mean(self.selected_num, self.all_num),
            "threshold": self.threshold,
        }
        if self.weight_sum:
            row["effective_ratio"] = _mean(self.weight_sum**2, self.all_num * self.weight_square_sum)
        return row

    def _unselected(self) -> float | None:
        if self.ranked_num == 0:
            return None
        return _mean(self.all_sum - self.ranked_sum, self.all_num - self.ranked_num)


def _mean(total: float, num: float) -> float | None:
    return total / num if num else None
