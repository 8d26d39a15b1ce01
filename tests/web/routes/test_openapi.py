"""`GET /openapi.json`: the description of this very broker, made once."""

from __future__ import annotations

from typing import Any

import pytest

from newswire.web import openapi
from tests.kit.access import GuardedWeb, basic
from tests.kit.web_fakes import Web


def test_it_describes_the_routes_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    web = Web(cluster=False)
    description: Any = web.get("/openapi.json")
    assert description["info"]["version"] == "0.1"
    paths = {rule.rule.replace("<", "{").replace(">", "}") for rule in web.app.url_map.iter_rules()}
    assert description["paths"].keys() == paths
    assert "/replicate" not in paths
    monkeypatch.setattr(openapi, "document", lambda *args, **options: pytest.fail("made again"))
    assert web.get("/openapi.json") == description


def test_it_says_who_may_where_callers_are_asked_who_they_are() -> None:
    description: Any = GuardedWeb().get("/openapi.json", headers=basic("ann"))
    publish = description["paths"]["/publish"]["post"]
    assert {name for way in publish["security"] for name in way} == {"token", "password", "session"}
    assert publish["description"] == "For who may publish to what `topic` names."
    assert {"401", "403"} <= publish["responses"].keys()
    assert description["paths"]["/livez"]["get"]["security"] == []
    assert Web().get("/openapi.json")["paths"]["/publish"]["post"]["security"] == []  # type: ignore[index]


def test_it_has_no_fields() -> None:
    Web().get("/openapi.json?x=1", "unknown-field")
