"""Signatures between brokers: what was changed, misdirected, replayed or thrown back is refused."""

from __future__ import annotations

import hashlib
import hmac

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.core import limits
from newswire.engine.peers import signing
from newswire.engine.peers.signing import HEADER, Signed, Verifier, seal, sign, unseal
from newswire.errors import LinkRefused

OLD, NEW = b"o" * 32, b"n" * 32
NOW = 1_700_000_000_000
SKEW = limits.CLOCK_SKEW_SECONDS * 1000
A, B, C = "1001-k3f9x2qa", "1002-aaaa2222", "1003-bbbb3333"
NAMES = ("1002", B, "127.0.0.1:5054")


def nonce(number: int) -> str:
    return f"{number:016d}"


def signed(number: int = 1, **changes: object) -> Signed:
    return msgspec.structs.replace(Signed(A, "1002", "c-42", NOW, nonce(number)), **changes)


def header(what: Signed, secrets: tuple[bytes, ...] = (NEW,), body: bytes = b"ops") -> str:
    return sign(secrets, "POST", "/replicate", body, what)[HEADER]


def verify(verifier: Verifier, value: str | None, body: bytes = b"ops", now: int = NOW, **changes: str) -> Signed | None:
    at = {"method": "POST", "path": "/replicate", **changes}
    return verifier.verify(at["method"], at["path"], body, value, own=B, names=NAMES, now=now)


def refused(verifier: Verifier, value: str | None, why: str, body: bytes = b"ops", now: int = NOW, **changes: str) -> None:
    with pytest.raises(LinkRefused, match=why) as caught:
        verify(verifier, value, body, now, **changes)
    assert caught.value.code == "unauthenticated"


def test_what_is_signed_is_verified() -> None:
    assert verify(Verifier([NEW]), header(signed())) == signed()


def test_the_signature_is_what_the_words_say() -> None:
    """Made again by hand, so that no change goes unnoticed: brokers of two versions have to agree."""
    digest = hashlib.sha256(b"ops").hexdigest()
    text = f'["push","POST","/replicate","{A}","1002","c-42",{NOW},"{nonce(1)}","{digest}"]'
    mac = hmac.new(NEW, text.encode(), hashlib.sha256).hexdigest()
    assert header(signed()) == f"v2;from={A};to=1002;cluster=c-42;time={NOW};nonce={nonce(1)};body={digest};mac={mac}"


@pytest.mark.parametrize("receiver", NAMES)
def test_a_broker_may_be_named_by_id_origin_or_address(receiver: str) -> None:
    assert verify(Verifier([NEW]), header(signed(receiver=receiver))) is not None


@pytest.mark.parametrize("receiver", ["[::1]:5054", "broker-b.example.org:5054", "fe80::1%eth0"])
def test_any_address_can_be_signed(receiver: str) -> None:
    refused(Verifier([NEW]), header(signed(receiver=receiver)), "not for this broker")


@pytest.mark.parametrize("change", [{"method": "GET"}, {"path": "/heartbeat/receive"}, {"path": "/replicate\n"}])
def test_another_route_is_refused(change: dict[str, str]) -> None:
    refused(Verifier([NEW]), header(signed()), "signature is wrong", **change)


def test_another_body_is_refused() -> None:
    refused(Verifier([NEW]), header(signed()), "not what was signed", body=b"ops ")


def check_head(verifier: Verifier, value: str | None, now: int = NOW, path: str = "/replicate") -> None:
    verifier.check_head("POST", path, value, own=B, names=NAMES, now=now)


def test_all_but_the_body_is_checked_by_the_head_and_nothing_is_remembered() -> None:
    verifier = Verifier([NEW])
    for _ in range(3):
        check_head(verifier, header(signed()))
    assert verify(verifier, header(signed())) == signed()
    bad = {
        "not signed": None,
        "signature is wrong": header(signed(), (OLD,)),
        "thrown back": header(signed(sender=B)),
        "not for this broker": header(signed(receiver="1009")),
        "clocks differ": header(signed(time=NOW - SKEW - 1)),
        "received before": header(signed()),
    }
    for why, value in bad.items():
        with pytest.raises(LinkRefused, match=why):
            check_head(verifier, value)
    with pytest.raises(LinkRefused, match="signature is wrong"):
        check_head(verifier, header(signed(2)), path="/heartbeat/receive")
    check_head(Verifier([]), None)


def test_a_body_that_is_refused_uses_no_nonce_up() -> None:
    verifier = Verifier([NEW])
    refused(verifier, header(signed()), "not what was signed", body=b"forged")
    assert verify(verifier, header(signed())) == signed()


@given(st.data())
def test_any_changed_character_is_refused(data: st.DataObject) -> None:
    value = header(signed())
    at = data.draw(st.integers(0, len(value) - 1))
    new = data.draw(st.characters(max_codepoint=255).filter(lambda c: c != value[at]))
    refused(Verifier([NEW]), value[:at] + new + value[at + 1 :], "signed|signature")


@given(st.one_of(st.none(), st.text()))
def test_anything_else_is_not_signed(value: str | None) -> None:
    refused(Verifier([NEW]), value, "not signed")


def test_a_wrong_secret_is_refused_with_the_way_out() -> None:
    refused(Verifier([NEW]), header(signed(), (OLD,)), "same cluster secret")


def test_secrets_are_rotated_without_a_pause() -> None:
    """Each broker in turn: both known, old signs; then new signs; then old is gone."""
    assert verify(Verifier([OLD, NEW]), header(signed(), (OLD,)))
    assert verify(Verifier([OLD, NEW]), header(signed(), (NEW, OLD)))
    assert verify(Verifier([NEW]), header(signed(), (NEW, OLD)))
    refused(Verifier([NEW]), header(signed(), (OLD, NEW)), "signature is wrong")


def test_every_secret_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(a) or real(a, b))
    verify(Verifier([NEW, OLD]), header(signed()))
    assert len(compared) == 2


def test_without_a_secret_nothing_is_signed_and_all_pass() -> None:
    assert sign((), "POST", "/replicate", b"ops", signed()) == {}
    assert verify(Verifier(()), None) is None
    assert verify(Verifier(()), header(signed())) is None
    assert seal((), nonce(1), 200, b"body") == unseal((), nonce(1), 200, b"body") == b"body"


def test_a_name_that_would_break_the_header_is_not_signed() -> None:
    for change in ({"sender": "a;to=b"}, {"receiver": "x\r\nHost: y"}, {"cluster": "a;b"}, {"nonce": "short"}, {"time": -1}):
        with pytest.raises(ValueError, match="can't be signed"):
            header(signed(**change))


# -- misdirected, thrown back, replayed -------------------------------------------------------------------------


def test_a_push_for_another_broker_is_refused() -> None:
    refused(Verifier([NEW]), header(signed(receiver=C)), f"made for {C}")


@pytest.mark.parametrize("receiver", [C, "1002", "127.0.0.1:5054"])
def test_a_push_thrown_back_to_its_sender_is_refused(receiver: str) -> None:
    refused(Verifier([NEW]), header(signed(sender=B, receiver=receiver)), "thrown back")


def test_a_push_is_taken_once() -> None:
    verifier = Verifier([NEW])
    verify(verifier, header(signed()))
    refused(verifier, header(signed()), "received before")
    refused(verifier, header(signed()), "received before", now=NOW + SKEW)
    refused(verifier, header(signed()), "clocks differ", now=NOW + SKEW + 1)
    assert verify(verifier, header(signed(2)))


def test_a_push_that_was_refused_is_not_remembered() -> None:
    verifier = Verifier([NEW])
    refused(verifier, header(signed(time=NOW + SKEW + 1)), "clocks differ")
    assert verify(verifier, header(signed(time=NOW + SKEW + 1)), now=NOW + 1)


def test_the_same_nonce_of_two_senders_is_two_nonces() -> None:
    verifier = Verifier([NEW])
    assert verify(verifier, header(signed()))
    assert verify(verifier, header(signed(sender=C)))


def test_clocks_may_differ_by_the_limit_both_ways() -> None:
    for time in (NOW - SKEW, NOW + SKEW):
        assert verify(Verifier([NEW]), header(signed(time=time)))
    for time in (NOW - SKEW - 1000, NOW + SKEW + 1000):
        refused(Verifier([NEW]), header(signed(time=time)), "differ by 301 s")


def test_a_clock_that_goes_back_brings_no_nonce_back() -> None:
    verifier = Verifier([NEW])
    verify(verifier, header(signed(1)))
    later = NOW + SKEW + 1
    verify(verifier, header(signed(2, time=later)), now=later)  # forgets the first
    refused(verifier, header(signed(1)), "received before", now=NOW)


@pytest.fixture
def few_nonces(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(limits, "NONCES_COUNT", 10)
    return 10


def test_memory_is_bounded_and_what_is_forgotten_stays_refused(few_nonces: int) -> None:
    verifier = Verifier([NEW])
    pushes = [header(signed(i, time=NOW + i)) for i in range(50)]
    for value in pushes:
        verify(verifier, value)
    assert len(verifier._seen[A]._heap) == len(verifier._seen[A]._known) == few_nonces
    for value in pushes:
        refused(verifier, value, "received before")
    assert verify(verifier, header(signed(99, time=NOW + 99)))
    assert verify(verifier, header(signed(99, sender=C, time=NOW)))  # another sender's clock is its own


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-SKEW, SKEW), st.integers(-2 * SKEW, 2 * SKEW)), max_size=40))
def test_no_push_is_ever_taken_twice(steps: list[tuple[int, int, int]]) -> None:
    nonces = signing._Nonces()
    taken: set[str] = set()
    for number, offset, step in steps:
        now = NOW + step
        if abs(offset - step) <= SKEW:
            name = f"{number}@{offset}"
            first = nonces.take(NOW + offset, name, now)
            assert not (first and name in taken)
            if first:
                taken.add(name)


def test_senders_that_are_gone_are_forgotten() -> None:
    verifier = Verifier([NEW])
    for run in range(200):
        at = NOW + run * SKEW
        verify(verifier, header(signed(sender=f"1001-run{run}", time=at)), now=at)
    assert len(verifier._seen) <= limits.PEERS_COUNT + 1


# -- answers ----------------------------------------------------------------------------------------------------


def test_an_answer_fits_the_push_that_it_answers_and_no_other() -> None:
    sealed = seal((NEW,), nonce(1), 200, b"vector\nops\n")
    assert unseal((OLD, NEW), nonce(1), 200, sealed) == b"vector\nops\n"
    for secrets, number, status, body in (
        ((OLD,), 1, 200, sealed),
        ((NEW,), 2, 200, sealed),
        ((NEW,), 1, 409, sealed),
        ((NEW,), 1, 200, sealed + b" "),
        ((NEW,), 1, 200, b"vector\nops\n"),
        ((NEW,), 1, 200, "é\n".encode()),
        ((NEW,), 1, 200, b""),
    ):
        with pytest.raises(LinkRefused, match="answer's signature"):
            unseal(secrets, nonce(number), status, body)


def test_an_answer_is_no_push() -> None:
    """The words that are signed begin with what they are."""
    assert not signing._answer(nonce(1), 200, b"").startswith(signing._push("POST", "/", b"", signed())[:7])


def test_pushes_are_taken_again_after_a_clock_that_was_years_ahead_is_set_back() -> None:
    verifier, ahead = Verifier([NEW]), NOW + 10 * 365 * 86_400_000
    verify(verifier, header(signed(1)), now=NOW)
    for number, time in enumerate((ahead, ahead + 2 * SKEW, ahead + 4 * SKEW), 2):
        verify(verifier, header(signed(number, time=time)), now=time)
    later = NOW + 1_000
    refused(verifier, header(signed(1)), "received before", now=later)
    refused(verifier, header(signed(3, time=ahead + 2 * SKEW)), "clocks differ", now=later)
    assert verify(verifier, header(signed(9, time=later + 1)), now=later + 1)
    refused(verifier, header(signed(9, time=later + 1)), "received before", now=later + 1)
