"""GET /cluster/trends: samples, forecasts and events as JSON."""

from __future__ import annotations

from newswire.core.model.forecasts import ClusterEvent, Outlook, Series, Trends
from newswire.web.routes.trends import Nothing
from tests.kit.web_fakes import Web


class Told(Nothing):
    """Says what it was asked."""

    def trends(self, after: int) -> Trends:
        series = Series(step=5, times=(after, 7), columns={"messages": (None, 2.5)})
        return Trends(recent=series, day=None, outlook=self.outlook, events=(ClusterEvent(time=3, text="up: broker 1002"),))


def test_it_says_what_was_measured_after_a_moment() -> None:
    web = Web(measured=Told())
    told = web.get("/cluster/trends?after=5")
    assert told["recent"] == {"step": 5, "times": [5, 7], "columns": {"messages": [None, 2.5]}}
    assert told["events"] == [{"time": 3, "text": "up: broker 1002", "is_warning": False}]
    assert told["outlook"].keys() == set(Outlook.__struct_fields__)
    assert web.get("/cluster/trends")["recent"]["times"] == [0, 7]
    web.get("/cluster/trends?after=-1", "bad-field")


def test_without_a_sampler_there_is_nothing() -> None:
    assert Web().get("/cluster/trends")["recent"]["times"] == []
