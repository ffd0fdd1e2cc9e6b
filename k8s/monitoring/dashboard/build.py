"""Builds the dashboard from its questions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    AxisPlacement,
    GraphTresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    AnnotationQuery,
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DynamicConfigValue,
    GridPos,
    Threshold,
    ThresholdsMode,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from k8s.monitoring.dashboard.flow import FLOW
from k8s.monitoring.dashboard.parts import PARTS
from k8s.monitoring.dashboard.shape import Limit, Panel, Query, Question, scoped

__all__ = ["QUESTIONS", "made"]

QUESTIONS: tuple[Question, ...] = (*FLOW, *PARTS)
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
COLUMNS, HEIGHT = 24, 8
VERSIONS = 'count by (version, quality, profile) (iqa_build_info{quality!=""}%s)'


def made() -> str:
    """The dashboard as JSON."""
    return json.dumps(_dashboard().build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _dashboard() -> dashboard.Dashboard:
    board = (
        dashboard.Dashboard("Image quality fleet")
        .uid("iqa-fleet")
        .description("The questions of a night shift, in their order. Panels with an alert lead to its page in the runbook.")
        .tags(["iqa", "kafka", "prometheus"])
        .readonly()
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-3h", "now")
        .refresh("30s")
        .variables(_variables())
        .annotations(_annotations())
    )
    ids, y = count(1), 0
    for question in QUESTIONS:
        board.with_row(
            dashboard.Row(question.asked).id(next(ids)).datasource(SOURCE).grid_pos(GridPos(h=1, w=COLUMNS, x=0, y=y))
        )
        width = COLUMNS // len(question.panels)
        for number, panel in enumerate(question.panels):
            place = GridPos(h=HEIGHT, w=width, x=number * width, y=y + 1)
            board.with_panel(_panel(panel).id(next(ids)).grid_pos(place))
        y += 1 + HEIGHT
    return board


def _variables() -> list[Builder[VariableModel]]:
    every = VariableOption(selected=True, text="All", value="$__all")
    chosen = [
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(f"label_values({series}, {name})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(everything)
        .current(every)
        for name, label, series, everything in (
            ("job", "Job", 'up{job=~"iqa.*"}', "iqa.*"),
            ("instance", "Instance", 'up{job=~"$job"}', ".+"),
        )
    ]
    runbook = dashboard.TextBoxVariable("runbook").label("Runbook").description("Where runbook.md can be read.")
    return [
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        *chosen,
        runbook.default_value("runbook.md").current(VariableOption(selected=True, text="runbook.md", value="runbook.md")),
    ]


def _annotations() -> list[Builder[AnnotationQuery]]:
    # A combination that was not there five minutes before; marked for these five minutes.
    new = f"{VERSIONS % ''} unless {VERSIONS % ' offset 5m'}"
    shown = {
        "Deploys": ("blue", scoped(new)),
        "Alerts": ("red", 'sum by (alertname) (ALERTS{alertname=~"Iqa.*",alertstate="firing"})'),
    }
    return [
        dashboard.AnnotationQuery().name(name).datasource(SOURCE).enable(True).icon_color(colour).expr(expr)
        for name, (colour, expr) in shown.items()
    ]


def _panel(panel: Panel) -> timeseries.Panel:
    built = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.says)
        .datasource(SOURCE)
        .unit(panel.unit)
        .min(0)
        .line_width(1)
        .fill_opacity(20 if panel.stacked else 0)
        .targets([_target(*each) for each in zip(ascii_uppercase, panel.queries, strict=False)])
        .links([_link(alert) for alert in panel.pages])
        .thresholds(_thresholds(panel.limits))
        .thresholds_style(_line_if(bool(panel.limits)))
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if panel.most is not None:
        built.axis_soft_max(panel.most)
    if panel.stacked:
        built.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    for word, unit in panel.others.items():
        on_the_right = DynamicConfigValue("custom.axisPlacement", AxisPlacement.RIGHT)
        built.override_by_regexp(f"/^{word}/", [DynamicConfigValue("unit", unit), on_the_right])
    return built


def _target(letter: str, query: Query) -> prometheus.Dataquery:
    asked = prometheus.Dataquery().expr(scoped(query.expr)).legend_format(query.legend)
    return asked.range().ref_id(letter).datasource(SOURCE)


def _link(alert: str) -> dashboard.DashboardLink:
    address = f"${{runbook:raw}}#{alert.lower()}"
    return dashboard.DashboardLink(alert).type(DashboardLinkType.LINK).url(address).target_blank(True)


def _thresholds(limits: Sequence[Limit]) -> dashboard.ThresholdsConfig:
    """Green on the good side of all limits, red beyond the last of them."""
    values = sorted({limit.value for limit in limits})
    if any(limit.below for limit in limits):
        steps = [Threshold(None, "red"), *(Threshold(value, "green") for value in values)]
    else:
        colours = ["orange"] * (len(values) - 1) + ["red"] * bool(values)
        steps = [Threshold(None, "green"), *(Threshold(*each) for each in zip(values, colours, strict=True))]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _line_if(wanted: bool) -> common.GraphThresholdsStyleConfig:
    return common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.DASHED if wanted else GraphTresholdsStyleMode.OFF)


def _legend() -> common.VizLegendOptions:
    # A list, not a table: of a table, two series are seen in a panel of this height.
    shown = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    return shown.show_legend(True).calcs(["lastNotNull"])
