"""`/replicate` and `/heartbeat/receive`: what peers send goes to the cluster as it is."""

from __future__ import annotations

import pytest

from newswire.core import limits
from tests.kit.web_fakes import Web


@pytest.fixture
def web() -> Web:
    return Web()


@pytest.mark.parametrize("path", ["/replicate", "/heartbeat/receive"])
def test_what_peers_send_goes_to_the_cluster_as_it_is(web: Web, path: str) -> None:
    body = b"\x00\xff" * limits.FORM_BYTES
    response = web.client.post(f"{path}?broker_ip=x", data=body, headers={"X-Newswire-Sender": "1002"})
    assert (response.status_code, response.data) == (200, b"vector")
    assert web.cluster.received == [(path, "1002", body)]


def test_a_peer_may_send_more_than_any_client_but_not_everything(web: Web) -> None:
    length = {"CONTENT_LENGTH": str(limits.PEER_BODY_BYTES + 1)}
    web.post("/replicate", "too-large", environ_overrides=length)
    assert web.cluster.received == []
