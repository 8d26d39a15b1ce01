"""What is made of the JSON of webhooks."""

from __future__ import annotations

from typing import Any

import pytest

from newswire.core import limits
from newswire.core.model.commands import Publish
from newswire.errors import BadRequest
from newswire.web import webhooks


def alert(name: str, **annotations: str) -> dict[str, Any]:
    return {"labels": {"alertname": name, "severity": "page"}, "annotations": annotations, "generatorURL": "http://p/g"}


def test_alerts_are_named_one_by_one() -> None:
    notice = {"status": "firing", "receiver": "ops", "alerts": [alert("Disk", summary="92 %"), alert("Load")]}
    assert webhooks.render("alertmanager", notice) == {
        "title": "🚨 Alert: Disk",
        "message": "Status: Firing\nReceiver: ops\n\nAlert: Disk\n  Severity: page\n  Summary: 92 %\n  Source: http://p/g\n\n"
        "Alert: Load\n  Severity: page\n  Source: http://p/g",
    }
    resolved = webhooks.render("alertmanager", {**notice, "status": "resolved"})
    assert resolved["title"] == "✅ Resolved: Disk"


def test_what_is_long_is_cut_and_can_be_published() -> None:
    notice = {"status": "firing", "receiver": "ops", "alerts": [alert("x" * 999, summary="ü" * 9_000)] * 300}
    rendered = webhooks.render("alertmanager", notice)
    assert len(Publish(topic="t", data=rendered["message"], title=rendered["title"]).data.encode()) <= limits.MESSAGE_BYTES
    assert len(rendered["title"]) == limits.TITLE_CHARS


@pytest.mark.parametrize(
    ("template", "fields"),
    [
        ("alertmanager", {}),
        ("alertmanager", {"status": "firing", "alerts": "x"}),
        ("alertmanager", {"status": 7, "alerts": [{}]}),
        ("grafana", {"status": "strange"}),
        ("grafana", {"message": "x"}),
    ],
)
def test_what_is_none_is_refused(template: str, fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        webhooks.render(template, fields)


def test_odd_values_are_left_out() -> None:
    notice = {"status": "firing", "alerts": [7, {"labels": [], "annotations": None, "startsAt": 3}]}
    assert webhooks.render("alertmanager", notice)["title"] == "🚨 Alert:"
    assert webhooks.render("grafana", {"status": "firing", "title": None, "message": 7}) == {
        "title": "🚨 Alert firing",
        "message": "",
    }
