"""``results/leaderboard.html``: one file that needs no other and no network, and works without JavaScript.

Names of models and all other text come from outside: the templates escape every value, and a Content-Security-Policy
lets only the page's own style and script (by their hashes) take effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup, escape

from rho1bench.leaderboard.pages.text import SELF_REPORTED, CellView, RowView, figure_view, table_view
from rho1bench.leaderboard.tables.accuracy_curves import Figure
from rho1bench.leaderboard.tables.board import Board
from rho1bench.leaderboard.tables.paper_rows import ARXIV, RELEASED_ABOUT, num_averages
from rho1bench.rendering import numbers as fmt
from rho1bench.rendering import scatter_chart
from rho1bench.rendering.axes import FIGURE_STYLE
from rho1bench.rendering.cell_map import map_svg
from rho1bench.rendering.forest_plot import forest_svg
from rho1bench.rendering.line_chart import Chart, Series, svg
from rho1bench.rendering.templates import content_policy, html_environment

TEMPLATES = Path(__file__).parent / "templates"
_SIZE = (400, 260)


def html_page(board: Board) -> str:
    """Return the page."""
    style = (TEMPLATES / "leaderboard.css").read_text(encoding="utf-8") + FIGURE_STYLE
    script = (TEMPLATES / "leaderboard.js").read_text(encoding="utf-8")
    template = html_environment(TEMPLATES).get_template("leaderboard.html.j2")
    return template.render(
        board=board,
        view=table_view,
        cells=_cells,
        panels=_panels,
        forest=forest_svg,
        cell_map=map_svg,
        scatter=scatter_chart.svg,
        count=fmt.count,
        self_reported=SELF_REPORTED,
        arxiv=ARXIV,
        released_about=RELEASED_ABOUT,
        num_averages=num_averages(),
        style=style,
        script=script,
        policy=content_policy(style, script),
    )


def _cells(row: RowView, table: str, marked: str) -> Markup:
    """Return the cells of a row's numbers; ``marked`` is what a marked one says to those who do not see bold."""
    link = escape(row.link) if row.by != "paper" else ""
    return Markup("".join([_cell(cell, link, table, marked) for cell in row.cells]))


def _cell(cell: CellView, link: str, table: str, marked: str) -> str:
    # Thousands of these: plain strings. Their texts are numbers that `pages.text` wrote, not words from outside.
    text = f'<a href="{link}">{cell.text}</a>' if link and cell.text != fmt.NONE else cell.text
    if cell.marked:
        text += f'<span class="hidden">{marked}</span>'
    if cell.note:
        text += f'<sup><a href="#{table}-note-{cell.note}">{cell.note}</a></sup>'
    if cell.interval:
        text += f"<small>{cell.interval}</small>"
    if cell.p:
        text += f"<small>{cell.p.replace('<', '&lt;')}</small>"
    return f'<td class="best">{text}</td>' if cell.marked else f"<td>{text}</td>"


def _panels(figures: Sequence[Figure]) -> list[dict[str, object]]:
    return [{"svg": svg(accuracy_chart(figure)), "view": figure_view(figure)} for figure in figures]


def accuracy_chart(figure: Figure, controls: Sequence[tuple[float, str]] = ()) -> Chart:
    """Return accuracy against tokens; ``controls`` are levels to compare with, in percent, each with its name."""
    series = [
        Series(
            line.name,
            style,
            [(float(point.tokens), point.value) for point in line.points],
            band=[(float(point.tokens), point.low, point.high) for point in line.points],
            markers=True,
        )
        for style, line in enumerate(figure.lines)
        if line.points
    ]
    ends = "; ".join(f"{one.name} from {one.points[0][1]:.1f}% to {one.points[-1][1]:.1f}%" for one in series)
    title = figure_view(figure).title
    return Chart(
        title, f"{ends}.", "tokens", "% correct", series, fmt.short_count, _percent_tick, rules=controls, size=_SIZE
    )


def _percent_tick(value: float) -> str:
    return f"{value:g}"
