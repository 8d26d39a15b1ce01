"""A push is signed by one broker and opened by the other, and so is its answer (docs/http.md, Between brokers)."""

from __future__ import annotations

import msgspec
import pytest

from newswire.core.broker.events import Header
from newswire.core.broker.values import Identity
from newswire.engine.peers import push_codec
from newswire.engine.peers.auth import Passport
from newswire.errors import BadRequest, LinkRefused
from tests.core.model.test_ops import HEADER

SECRET, OTHER = b"s" * 32, b"o" * 32
ONE, TWO = Identity("1001", "10.0.0.1:1", "1001-a"), Identity("1002", "10.0.0.2:1", "1002-b")
RAWS = [b'{"op":"msg"}']


def header() -> Header:
    return push_codec.read(msgspec.json.encode(HEADER))[0]


def push(*secrets: bytes, to: str = TWO.address, body: bytes | None = None) -> tuple[str, dict[str, str], bytes]:
    """Nonce, headers and body of a push of broker 1001."""
    body = push_codec.write(header(), RAWS) if body is None else body
    nonce, headers = Passport(secrets, ONE).sign("/replicate", body, to, "c-42")
    return nonce, dict(headers), body


def test_what_one_signs_the_other_opens() -> None:
    nonce, headers, body = push(SECRET)
    receiver = Passport([SECRET], TWO)
    receiver.check_head("/replicate", headers)
    assert receiver.open_push("/replicate", headers, body) == (nonce, header(), RAWS)


@pytest.mark.parametrize("name", [TWO.id, TWO.origin, TWO.address])
def test_it_is_taken_under_each_of_its_names_and_no_other(name: str) -> None:
    Passport([SECRET], TWO).open_push("/replicate", *push(SECRET, to=name)[1:])
    with pytest.raises(LinkRefused):
        Passport([SECRET], ONE).open_push("/replicate", *push(SECRET, to=name)[1:])


def test_a_push_with_another_secret_or_none_is_refused_by_its_head() -> None:
    receiver = Passport([SECRET], TWO)
    for headers in (push(OTHER)[1], push()[1], {}):
        with pytest.raises(LinkRefused) as refused:
            receiver.check_head("/replicate", headers)
        assert refused.value.code == "unauthenticated"


def test_each_push_has_a_nonce_of_its_own_and_is_taken_once() -> None:
    receiver, (nonce, headers, body) = Passport([SECRET], TWO), push(SECRET)
    assert push(SECRET)[0] != nonce
    receiver.open_push("/replicate", headers, body)
    with pytest.raises(LinkRefused):
        receiver.open_push("/replicate", headers, body)


def test_a_signed_body_that_is_no_push_is_a_bad_body() -> None:
    with pytest.raises(BadRequest) as bad:
        Passport([SECRET], TWO).open_push("/replicate", *push(SECRET, body=b"{}")[1:])
    assert bad.value.code == "bad-body"


def test_an_answer_is_sealed_for_its_push() -> None:
    sender, receiver = Passport([SECRET], ONE), Passport([SECRET], TWO)
    sealed = receiver.seal("n1", 200, push_codec.write(header(), RAWS))
    assert sender.open_answer("n1", 200, sealed) == (header(), RAWS)
    for nonce, status in (("n2", 200), ("n1", 409)):
        with pytest.raises(LinkRefused):
            sender.open_answer(nonce, status, sealed)


def test_without_a_secret_nothing_is_signed() -> None:
    nonce, headers, body = push()
    assert headers == {}
    receiver = Passport([], TWO)
    receiver.check_head("/replicate", {})
    assert receiver.open_push("/replicate", {}, body) == ("", header(), RAWS)
    assert receiver.open_answer(nonce, 200, receiver.seal(nonce, 200, body)) == (header(), RAWS)
