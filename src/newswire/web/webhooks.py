"""Webhooks of programs that publish JSON of their own: a title and a text made of it. Pure.

They have the names and the looks of ntfy's templates, so that an address with `?template=` goes on working.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from newswire.core import limits
from newswire.errors import BadRequest

_FIRING: Final = {"firing": "🚨", "resolved": "✅"}
_ALERTS_COUNT: Final = 50  # of one notice that are named: more make no text that anybody reads
_TEXT_CHARS: Final = limits.MESSAGE_BYTES // 4


def render(template: str, fields: Mapping[str, Any]) -> dict[str, str]:
    """The title and text of what `template` is sent. Raises `bad-body`."""
    title, lines = TEMPLATES[template](fields)
    return {"title": " ".join(title.split())[: limits.TITLE_CHARS], "message": "\n".join(lines).strip()[:_TEXT_CHARS]}


def _grafana(fields: Mapping[str, Any]) -> tuple[str, list[str]]:
    return f"{_sign(fields)} {_text(fields, 'title') or 'Alert ' + _text(fields, 'status')}", [_text(fields, "message")]


def _alertmanager(fields: Mapping[str, Any]) -> tuple[str, list[str]]:
    alerts = [alert for alert in _list(fields, "alerts") if isinstance(alert, dict)]
    if not alerts:
        raise BadRequest("this is no notice of an Alertmanager: it has no `alerts`", code="bad-body")
    word = "Alert" if _text(fields, "status") == "firing" else "Resolved"
    title = f"{_sign(fields)} {word}: {_text(_object(alerts[0], 'labels'), 'alertname')}"
    lines = [f"Status: {_text(fields, 'status').capitalize()}", f"Receiver: {_text(fields, 'receiver')}"]
    for alert in alerts[:_ALERTS_COUNT]:
        lines += ["", *_alert_lines(alert)]
    if len(alerts) > _ALERTS_COUNT:
        lines += ["", f"and {len(alerts) - _ALERTS_COUNT} more"]
    return title, lines


def _alert_lines(alert: Mapping[str, Any]) -> Iterator[str]:
    labels, annotations = _object(alert, "labels"), _object(alert, "annotations")
    yield f"Alert: {_text(labels, 'alertname')}"
    for source, name, words in (
        (labels, "instance", "Instance"),
        (labels, "severity", "Severity"),
        (alert, "startsAt", "Starts at"),
        (annotations, "summary", "Summary"),
        (annotations, "description", "Description"),
        (alert, "generatorURL", "Source"),
    ):
        if text := _text(source, name):
            yield f"  {words}: {text}"


def _sign(fields: Mapping[str, Any]) -> str:
    status = _text(fields, "status")
    if status not in _FIRING:
        raise BadRequest("its `status` is neither firing nor resolved", code="bad-body")
    return _FIRING[status]


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name, "")
    return value if isinstance(value, str) else ""


def _list(fields: Mapping[str, Any], name: str) -> list[Any]:
    value = fields.get(name)
    return value if isinstance(value, list) else []


def _object(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


TEMPLATES: Final[Mapping[str, Callable[[Mapping[str, Any]], tuple[str, list[str]]]]] = {
    "alertmanager": _alertmanager,
    "grafana": _grafana,
}
