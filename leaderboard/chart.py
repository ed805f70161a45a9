"""The quality-against-cost chart: one Vega-Lite specification, for the browser and as a static picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from bench.records import ModelInfo
from leaderboard.aggregate import Board
from leaderboard.cells import Column
from leaderboard.facts import COSTS

Point = dict[str, Any]

# Labels of more models than this would only cover each other; the tooltips remain.
MAX_LABELS = 12

# SVG takes it from the page around it, so that one picture is right on light and on dark.
INK = "currentColor"

# The SI format alone writes half a second as 500m.
LABEL = "format(datum.value, datum.value < 1 ? '~g' : '~s')"


@dataclass(frozen=True)
class Chart:
    """What the page needs to draw any score against any cost.

    Args:
        spec: Vega-Lite; its points have the fields `cost` and `score`.
        points: one a model: `model`, `group`, `costs` and `scores` in the order of the axes below, None where missing.
        costs: titles of the costs.
        scores: titles of the scores.
        score: which score is shown first, an index into `scores`.
        cost: which cost is shown first, an index into `costs`.
    """

    spec: dict[str, Any]
    points: list[Point]
    costs: list[str]
    scores: list[str]
    cost: int
    score: int

    def to_json(self) -> dict[str, Any]:
        """What the script of the page reads."""
        return {"spec": self.spec, "points": self.points, "costs": self.costs, "scores": self.scores}

    def to_svg(self) -> str:
        """The first view as a picture, in the text colour of the page around it."""
        return _svg(self)


def chart(board: Board) -> Chart | None:
    """The chart of `board`, or None if no model has both a score and a cost."""
    scores = [j for j, column in enumerate(board.columns) if column.better and column.form == "score"]
    costs = [j for j, column in enumerate(board.columns) if column.key in COSTS]
    points = [
        {
            "model": row.label,
            "group": _group(row.model),
            "scores": [row.cells[j].value for j in scores],
            # A logarithmic axis has no place for 0.
            "costs": [row.cells[j].value or None for j in costs],
        }
        for row in board.rows
    ]
    for score in range(len(scores)):
        for cost in range(len(costs)):
            if shown(points, cost, score):
                titles = [[_title(board.columns[j]) for j in axis] for axis in (costs, scores)]
                spec = _spec(shown(points, cost, score), titles[0][cost], titles[1][score])
                return Chart(spec, points, titles[0], titles[1], cost, score)
    return None


def _group(model: ModelInfo) -> str:
    """The embedding, with the assignment of its codes where it has codes; of other models their kind."""
    embedding = model.axes.embedding if model.axes else None
    if embedding is None:
        return model.kind
    facts = (model.training or {}).get("embedding") or {}
    return f"{embedding}, {facts['codes']}" if "codes" in facts else embedding


def shown(points: list[Point], cost: int, score: int) -> list[Point]:
    """The points that have both coordinates, as the specification wants them."""
    flat = [{**point, "cost": point["costs"][cost], "score": point["scores"][score]} for point in points]
    keys = ("model", "group", "cost", "score")
    return [{key: p[key] for key in keys} for p in flat if p["cost"] is not None and p["score"] is not None]


def _title(column: Column) -> str:
    if column.better is None:
        return f"{column.title} ({column.unit})" if column.unit else column.title
    arrow = "↑" if column.better == "higher" else "↓"
    return f"{column.group}: {column.title}, {column.unit} {arrow}"


def _spec(values: list[Point], cost: str, score: str) -> dict[str, Any]:
    import altair as alt

    x = alt.X("cost:Q", title=cost, scale=alt.Scale(type="log", nice=False, padding=66), axis=alt.Axis(labelExpr=LABEL))
    y = alt.Y("score:Q", title=score, scale=alt.Scale(zero=False, padding=24), axis=alt.Axis(tickCount=6))
    group = alt.Legend(title="Embedding or kind", orient="bottom", columns=3, symbolOpacity=1)
    tooltip = [
        alt.Tooltip("model:N", title="Model"),
        alt.Tooltip("score:Q", title=score, format=".6~g"),
        alt.Tooltip("cost:Q", title=cost, format=",.6~g"),
    ]
    base = alt.Chart(alt.Data(values=values)).encode(x=x, y=y, tooltip=tooltip)
    layers = [
        base.mark_point(filled=True, size=110, opacity=0.9).encode(
            color=alt.Color("group:N", legend=group), shape=alt.Shape("group:N", legend=group)
        )
    ]
    if len(values) <= MAX_LABELS:
        layers.append(base.mark_text(dy=-12, fontSize=11, color=INK, limit=130).encode(text="model:N"))
    text = {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"}
    lines = {"gridColor": INK, "domainColor": INK, "tickColor": INK}
    spec: dict[str, Any] = (
        alt.layer(*layers)
        .properties(width=640, height=340, background="transparent")
        .configure_view(stroke=None)
        .configure_axis(**text, **lines, gridOpacity=0.12, domainOpacity=0.4)
        .configure_legend(**text, labelLimit=220)
        .to_dict()
    )
    del spec["$schema"]  # an address, which a page without network has no use for
    return spec


def _svg(chart: Chart) -> str:
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg(chart.spec, vl_version=vegalite_version())
    return svg


@cache
def vegalite_version() -> str:
    """The newest Vega-Lite in the bundle of the major version that altair writes.

    Raises:
        ValueError: if there is none.
    """
    import altair as alt
    import vl_convert

    major = alt.SCHEMA_VERSION.removeprefix("v").split(".")[0]
    versions: list[str] = [v for v in vl_convert.get_vegalite_versions() if v.split(".")[0] == major]
    if not versions:
        raise ValueError(f"vl-convert-python has no Vega-Lite {major}, which altair writes; upgrade vl-convert-python")
    return max(versions, key=lambda v: [int(part) for part in v.split(".")])
