"""Rights and brokers that are apart: what is taken at one counts at the other as soon as it gets there, never before."""

from __future__ import annotations

from pathlib import Path

from brokers import CREDENTIALS, Stream, ask, post, until, wait_in_sync
from tests.kit.processes import HEARTBEAT, GuardedWiredPair, lend


def test_what_was_revoked_while_the_brokers_were_apart_ends_streams_when_they_meet(tmp_path: Path) -> None:
    with lend(GuardedWiredPair(tmp_path, *HEARTBEAT)) as pair:
        pair.start()
        first, second = pair.brokers
        for user in ("Ann", "Ben", "Cleo"):
            pair.add(user, subscribe=">")
            post(first.address, "/subscribe", username=user, topic="news")
        wait_in_sync(pair.brokers)
        as_admin = {"Authorization": CREDENTIALS["admin"]}
        streams = {user: Stream(user, [first.address]) for user in ("Ann", "Ben", "Cleo")}
        with streams["Ann"] as ann, streams["Ben"] as ben, streams["Cleo"] as cleo:
            for stream in streams.values():
                stream.wait_open(first.address)
            for wire in pair.wires:
                wire.cut("refuse")
            pair.revoke("Ann", "subscribe", ">", at=second)  # a right, a token, a user
            (token,) = ask(second.address, "GET", "/tokens?username=Ben", headers=as_admin).json()
            for path in (f"/tokens/{token['id']}", "/users/Cleo"):
                assert ask(second.address, "DELETE", path, headers=as_admin).status == 200
            publish = {"topic": "news", "data": "apart"}
            assert ask(first.address, "POST", "/publish", publish, headers=as_admin).json()["copies"] == 1
            for stream in streams.values():  # nobody told this broker
                stream.wait_texts("apart")
            for wire in pair.wires:
                wire.mend()
            wait_in_sync(pair.brokers)
            for stream, status, code in (
                (ann, 403, "forbidden"),
                (ben, 401, "unauthenticated"),
                (cleo, 401, "unauthenticated"),
            ):
                until(f"{stream.user}'s stream is refused", lambda it=stream: it.refused is not None)  # type: ignore[misc]
                assert stream.refused is not None
                assert (stream.refused.status, stream.refused.json()["code"]) == (status, code)
                assert stream.texts == ["apart"]
