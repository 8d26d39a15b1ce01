"""Who has got a message, and who has confirmed it."""

from __future__ import annotations

import pytest

from newswire.core.access import Principal
from newswire.core.model.commands import Acknowledge, Confirm
from newswire.core.model.results import DeliveryReport
from newswire.core.read.pieces import finish
from newswire.core.read.reports import delivery_report
from tests.core.broker.test_escalation import START, Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_reports_say_who_has_got_it(desk: Desk) -> None:
    name = desk.ask()
    assert desk.report(name) == {"ann": "pending", "ben": "pending"}
    start = desk.engine.open_stream("ann", None)
    assert start is not None
    (entry,) = desk.engine.next_page(start.position, 10).entries
    assert entry.event_id is not None
    desk.take(Acknowledge("ann", entry.event_id))
    assert desk.report(name) == {"ann": "delivered", "ben": "pending"}
    desk.take(Confirm("ben", name))
    report = desk.engine.delivery_report(name)
    assert isinstance(report, DeliveryReport)
    assert [(row.user, row.state, row.at) for row in report.readers] == [("ann", "delivered", 0), ("ben", "confirmed", START)]
    assert desk.engine.delivery_report("1009-x.7") is None


def test_a_report_in_one_go_is_the_same(desk: Desk) -> None:
    name = desk.ask()
    state = desk.engine.shell.read(lambda state: state)
    assert finish(delivery_report(state, name, START)) == desk.engine.delivery_report(name)
    assert desk.engine.delivery_report(name, Principal("1009-x.7")) is None, "who is nobody is told nothing"
