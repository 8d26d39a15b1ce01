"""Each metric, from what `GET /metrics` answers where everything can be measured."""

from __future__ import annotations

from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from newswire.config import Settings
from newswire.web import create_app
from reference.application import engine, foresight
from reference.page import Page, code, plain, table

_ABOUT: Final = """\
What `GET /metrics` answers, in the text format of Prometheus. [Operate](operate.md#metrics) says what to look at. A
metric of what is not known is not there: of a disk where there is none, of a forecast before two days were seen.
"""


def text() -> str:
    """The page."""
    web = create_app(engine(), Settings(), measured=foresight()).test_client()
    web.get("/livez")
    families = text_string_to_metric_families(web.get("/metrics").get_data(as_text=True))
    rows = []
    for family in sorted(families, key=lambda family: family.name):
        labels = dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le")
        name = f"{family.name}_total" if family.type == "counter" else family.name
        rows.append((code(name), family.type, ", ".join(map(code, labels)), plain(family.documentation)))
    return "\n".join(("# Metrics\n", _ABOUT, table(("metric", "type", "labels", "means"), rows)))


PAGE = Page(name="metrics", title="Metrics", about="each number for Prometheus", text=text)
