"""A figure of a page: one chart of any sort, its name as a file, and its numbers as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rho1bench.rendering import scatter_chart
from rho1bench.rendering.bar_chart import BarChart, bars_svg
from rho1bench.rendering.cell_map import CellMap, map_svg
from rho1bench.rendering.forest_plot import ForestPlot, forest_svg
from rho1bench.rendering.line_chart import Chart, svg
from rho1bench.rendering.scatter_chart import Scatter
from rho1bench.rendering.token_text import TokenText, text_svg


@dataclass(frozen=True)
class Figure:
    """One chart, its name as a file, and its numbers as a table for readers who cannot see it."""

    name: str
    title: str
    chart: Chart | Scatter | ForestPlot | BarChart | CellMap | TokenText
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def inline(self) -> str:
        """Return SVG for inside a page."""
        return self._svg(standalone=False)

    def file(self) -> str:
        """Return SVG that stands alone."""
        return self._svg(standalone=True) + "\n"

    def _svg(self, *, standalone: bool) -> str:
        match self.chart:
            case Scatter():
                return scatter_chart.svg(self.chart, standalone=standalone)
            case ForestPlot():
                return forest_svg(self.chart, standalone=standalone)
            case BarChart():
                return bars_svg(self.chart, standalone=standalone)
            case CellMap():
                return map_svg(self.chart, standalone=standalone)
            case TokenText():
                return text_svg(self.chart, standalone=standalone)
            case _:
                return svg(self.chart, standalone=standalone)
