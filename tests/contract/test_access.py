"""What every engine does about users, tokens, grants and rights (docs/rules.md, ACCESS): with peers, and without."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from newswire.core.access import Principal, Rights
from newswire.core.broker.events import Now
from newswire.core.model.commands import (
    Acknowledge,
    AddGrant,
    AddUser,
    Audit,
    CreateToken,
    EndSession,
    Publish,
    RemoveUser,
    Request,
    RevokeGrant,
    RevokeToken,
    SetPassword,
    Subscribe,
    Unsubscribe,
)
from newswire.engine.memory import MemoryEngine, MemoryNetwork
from newswire.engine.seam import Account, Engine, Entry, GrantRow, Receipt, TopicRow, Wake
from newswire.errors import NewswireError, NotFound, Refused
from tests.contract.conftest import GATEWAYS, WITH_PEERS, Pair, begun
from tests.kit.waiting import wait_until

NOW = 1_795_514_400_000  # ms since 1970; no broker here has lived later


@pytest.fixture(params=(*WITH_PEERS, *GATEWAYS, "lone"))
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    yield from begun(request.param, tmp_path)


def account(engine: Engine, name: str) -> Account:
    row = engine.account(name)
    assert row is not None
    return row


def principal(engine: Engine, name: str) -> Principal:
    return Principal(account(engine, name).account)


def add(engine: Engine, name: str, *grants: tuple[str, str], admin: bool = False) -> Principal:
    engine.submit([AddUser(name, admin=admin)])
    for verb, pattern in grants:
        engine.submit([AddGrant(name, "publish" if verb == "publish" else "subscribe", pattern)])
    return principal(engine, name)


def refusal(engine: Engine, *requests: Request, by: Principal | None = None) -> str:
    with pytest.raises(NewswireError) as raised:
        engine.submit(requests, by=by)
    return raised.value.code


def read_for(engine: Engine, user: str, by: Principal | None) -> list[str]:
    start = engine.open_stream(user, None, by)
    if start is None:
        return ["nothing to be had"]
    page = engine.next_page(start.position, 100)
    return [entry.message.data for entry in page.entries if isinstance(entry, Entry)]


def topics(engine: Engine, by: Principal | None) -> list[tuple[str, int]]:
    rows: list[TopicRow] = []
    engine.topics(NOW, rows.extend, by)
    return [(row.topic, row.messages) for row in rows]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_user_is_known_at_every_broker_with_the_newest_password(pair: Pair) -> None:
    receipt = pair.one.submit([AddUser("Alice", password="$argon2id$1")])
    pair.other.submit([SetPassword("Alice", "$argon2id$2")])
    wait_until(lambda: all(account(engine, "Alice").password == "$argon2id$2" for engine in (pair.one, pair.other)))
    row = account(pair.one, "Alice")
    assert (row.username, row.account, row.admin) == ("Alice", receipt.first, False)
    assert row.password_id not in ("", receipt.ids[-1])
    assert pair.one.accounts() == pair.other.accounts() == [row]
    assert pair.one.account("Bob") is None


def test_a_user_there_is_cannot_be_added_nor_one_there_is_not_changed(pair: Pair) -> None:
    pair.one.submit([AddUser("Alice")])
    assert refusal(pair.one, AddUser("Alice")) == "user-exists"
    assert refusal(pair.one, RemoveUser("Bob")) == "no-user"
    assert refusal(pair.one, SetPassword("Bob", "$x")) == "no-user"
    assert refusal(pair.one, CreateToken("Bob", digest("x"))) == "no-user"
    assert refusal(pair.one, AddGrant("Bob", "publish", "news")) == "no-user"
    assert refusal(pair.one, RevokeToken("1001-x.5")) == "no-token"
    assert refusal(pair.one, RevokeGrant("Alice", "publish", "news")) == "no-grant"
    with pytest.raises(NotFound):
        pair.one.submit([RemoveUser("Bob")])


def test_the_first_admin_is_made_where_there_is_none(pair: Pair) -> None:
    pair.one.submit([AddUser("admin", admin=True, password="$1", first=True)])
    assert refusal(pair.other, AddUser("root", admin=True, first=True)) == "user-exists"
    assert [(row.username, row.admin) for row in pair.one.accounts()] == [("admin", True)]


def test_rights_are_grants_of_the_user_and_of_everybody(pair: Pair) -> None:
    alice = add(pair.one, "Alice", ("publish", "news"), ("subscribe", "news.>"))
    admin = add(pair.one, "root", admin=True)
    pair.one.submit([AddGrant("*", "subscribe", "lunch")])
    assert pair.one.rights(alice) == Rights(publish=("news",), subscribe=("lunch", "news.>"))
    assert pair.one.rights(admin) == Rights(admin=True)
    assert pair.one.grants("Alice") == [GrantRow("Alice", "publish", "news"), GrantRow("Alice", "subscribe", "news.>")]
    assert pair.one.grants("*") == [GrantRow("*", "subscribe", "lunch")]
    assert len(pair.one.grants(None)) == 3
    pair.other.submit([RevokeGrant("Alice", "subscribe", "news.>")])
    wait_until(lambda: pair.one.rights(alice) == Rights(publish=("news",), subscribe=("lunch",)))


def test_a_token_is_found_by_its_digest_and_is_no_wider_than_its_user(pair: Pair) -> None:
    alice = add(pair.one, "Alice", ("publish", "news.>"))
    wide = pair.one.submit([CreateToken("Alice", digest("wide"), label="all")], by=alice).first
    slim = pair.one.submit([CreateToken("Alice", digest("slim"), publish=("news.*", "tech"), subscribe=())], by=alice).first
    row = pair.one.token(digest("slim"))
    assert row is not None
    assert (row.id, row.username, row.account, row.publish, row.subscribe) == (
        slim,
        "Alice",
        alice.account,
        ("news.*", "tech"),
        (),
    )
    assert pair.one.rights(Principal(alice.account, token=wide)) == Rights(publish=("news.>",))
    assert pair.one.rights(Principal(alice.account, token=slim)) == Rights(publish=("news.*",))
    assert [row.label for row in pair.one.tokens("Alice")] == ["all", ""] == [row.label for row in pair.one.tokens(None)]
    assert pair.one.tokens("Bob") == []
    by_slim = Principal(alice.account, token=slim)
    assert refusal(pair.one, CreateToken("Alice", digest("more")), by=by_slim) == "forbidden"
    assert refusal(pair.one, SetPassword("Alice", "$x"), by=by_slim) == "forbidden"
    assert refusal(pair.one, Publish("news.a.b", "x"), by=by_slim) == "forbidden"
    pair.one.submit([RevokeToken(slim)], by=alice)
    assert pair.one.token(digest("slim")) is None
    assert pair.one.rights(by_slim) is None
    assert refusal(pair.one, Publish("news.a", "x"), by=by_slim) == "unauthenticated"


def test_what_was_proved_by_something_that_ended_is_good_no_more(pair: Pair) -> None:
    pair.one.submit([AddUser("Alice", password="$1")])
    row = account(pair.one, "Alice")
    by_password = Principal(row.account, password=row.password_id, session="s-1")
    expired = pair.one.submit([CreateToken("Alice", digest("old"), expires=1)]).first
    assert pair.one.rights(by_password) == Rights()
    assert pair.one.rights(Principal(row.account, token=expired)) is None
    pair.one.submit([EndSession("s-1", row.account)], by=by_password)
    assert pair.one.rights(by_password) is None
    assert pair.one.rights(Principal(row.account, session="s-2")) == Rights()
    pair.one.submit([SetPassword("Alice", "$2")])
    assert pair.one.rights(Principal(row.account, password=row.password_id)) is None
    pair.one.submit([RemoveUser("Alice")])
    assert pair.one.rights(Principal(row.account)) is None


def test_commands_are_checked_where_they_are_stored(pair: Pair) -> None:
    alice = add(pair.one, "Alice", ("publish", "news"), ("subscribe", "news.>"))
    root = add(pair.one, "root", admin=True)
    bob = add(pair.one, "Bob")
    assert pair.one.submit([Publish("news", "one")], by=alice).count == 1
    with pytest.raises(Refused) as raised:
        pair.one.submit([Publish("news", "two"), Publish("tech", "three")], by=alice)
    assert (raised.value.code, raised.value.extra["index"]) == ("forbidden", 1)
    admins: tuple[Request, ...] = (AddUser("x"), AddGrant("*", "publish", "news"), SetPassword("Bob", "$"), Audit("x", "y"))
    for request in (*admins, RemoveUser("Bob")):
        assert refusal(pair.one, request, by=alice) == "forbidden"
        pair.one.submit([request], by=root)
    assert pair.one.account("Bob") is None
    assert refusal(pair.one, Publish("news", "four"), by=bob) == "unauthenticated"
    mine = Subscribe("Alice", "news.*", account=alice.account)
    assert refusal(pair.one, Subscribe("Alice", ">", account=alice.account), by=alice) == "forbidden"
    pair.one.submit([mine], by=alice)
    assert refusal(pair.one, Unsubscribe("root", "x", account=root.account), by=alice) == "forbidden"
    pair.one.submit([Unsubscribe("Alice", "news.*", account=alice.account)], by=root)
    assert topics(pair.one, None) == [("news", 1)]


def test_only_what_may_be_read_is_read_and_counted(pair: Pair) -> None:
    alice = add(pair.one, "Alice", ("subscribe", "news.>"), ("publish", "tips"))
    pair.one.submit([Subscribe("Alice", "news.>", account=alice.account)], by=alice)
    pair.one.submit([Publish("news.open", "a"), Publish("news.closed", "b"), Publish("tips", "c"), Publish("tech", "d")])
    assert read_for(pair.one, "Alice", alice) == ["a", "b"]
    assert topics(pair.one, alice) == [("news.closed", 1), ("news.open", 1), ("tips", 0)]
    pair.one.submit([AddGrant("Alice", "subscribe", "news.open"), RevokeGrant("Alice", "subscribe", "news.>")])
    assert read_for(pair.one, "Alice", alice) == ["a"]
    assert topics(pair.one, alice) == [("news.open", 1), ("tips", 0)]
    assert [(row.topic, row.unread) for row in pair.one.subscriptions_of("Alice", alice)] == [("news.>", 1)]
    page = pair.one.open_page("Alice", None, 0, NOW, alice)
    assert page is not None
    assert page.patterns == ("news.open",)
    assert pair.one.open_page("Alice", "news.closed", 0, NOW, alice) is None
    pair.one.submit([RevokeGrant("Alice", "subscribe", "news.open")])
    assert pair.one.open_stream("Alice", None, alice) is None
    assert pair.one.patterns_of("Alice", alice) == ()
    pair.one.submit([AddGrant("*", "subscribe", ">")])
    assert pair.one.patterns_of("Alice", alice) == ("news.>",)
    assert read_for(pair.one, "Alice", alice) == ["a", "b"]


def test_another_users_news_are_for_admins_who_see_what_that_user_may_read(pair: Pair) -> None:
    alice, bob, root = add(pair.one, "Alice", ("subscribe", ">")), add(pair.one, "Bob", ("subscribe", ">")), Principal("")
    root = add(pair.one, "root", admin=True)
    pair.one.submit([Subscribe("Alice", ">", account=alice.account)], by=root)
    pair.one.submit([Publish("news", "a")])
    assert read_for(pair.one, "Alice", root) == ["a"]
    assert pair.one.open_stream("Alice", None, bob) is None
    assert pair.one.subscriptions_of("Alice", bob) == []
    assert pair.one.open_stream("Nobody", None, root) is None
    pair.one.submit([RevokeGrant("Alice", "subscribe", ">")])
    assert pair.one.open_stream("Alice", None, root) is None


def test_an_acknowledgement_moves_the_cursor_of_the_account(pair: Pair) -> None:
    alice = add(pair.one, "Alice", ("subscribe", ">"))
    pair.one.submit([Subscribe("Alice", "news", account=alice.account)], by=alice)
    pair.one.submit([Publish("news", "a"), Publish("news", "b")])
    start = pair.one.open_stream("Alice", None, alice)
    assert start is not None
    assert start.account == alice.account
    entry = pair.one.next_page(start.position, 1).entries[0]
    assert isinstance(entry, Entry)
    assert pair.one.post([Acknowledge("Alice", entry.event_id, account=start.account)])
    wait_until(lambda: read_for(pair.one, "Alice", alice) == ["b"])


def test_what_a_narrow_token_reads_moves_no_cursor_of_what_it_may_not_read(pair: Pair) -> None:
    alice = add(pair.one, "Alice", ("subscribe", ">"))
    token = pair.one.submit([CreateToken("Alice", digest("t"), subscribe=("news.a",))], by=alice).first
    narrow = Principal(alice.account, token=token)
    pair.one.submit([Subscribe("Alice", pattern, account=alice.account) for pattern in ("news.a", "news.*", "pay")], by=alice)
    pair.one.submit([Publish("pay", "p"), Publish("news.b", "b"), Publish("news.a", "a")])
    start = pair.one.open_stream("Alice", None, narrow)
    assert start is not None
    (entry,) = pair.one.next_page(start.position, 10).entries
    assert isinstance(entry, Entry)
    mine = Acknowledge("Alice", entry.event_id, account=alice.account, token=token)
    pair.one.submit([mine], by=narrow)
    unread = {row.topic: row.unread for row in pair.one.subscriptions_of("Alice", alice)}
    assert unread == {"news.a": 0, "news.*": 2, "pay": 1}
    pair.one.submit([RevokeToken(token)], by=alice)
    assert pair.one.submit([msgspec.structs.replace(mine, pattern="pay")]).first == ""
    assert read_for(pair.one, "Alice", alice) == ["p", "b", "a"]
    pair.one.submit([msgspec.structs.replace(mine, token="")], by=alice)
    assert read_for(pair.one, "Alice", alice) == []


def test_a_later_user_of_the_name_inherits_nothing(pair: Pair) -> None:
    alice = add(pair.one, "Alice", ("subscribe", ">"), ("publish", "news"))
    token = pair.one.submit([CreateToken("Alice", digest("t"))]).first
    pair.one.submit([Subscribe("Alice", "news", account=alice.account)], by=alice)
    pair.one.submit([Publish("news", "a")])
    pair.one.submit([RemoveUser("Alice")])
    again = add(pair.one, "Alice")
    assert again != alice
    assert pair.one.rights(again) == Rights()
    assert pair.one.rights(alice) is None
    assert pair.one.grants("Alice") == []
    assert pair.one.tokens("Alice") == []
    assert pair.one.token(digest("t")) is None
    pair.one.submit([AddGrant("Alice", "subscribe", ">")])
    assert pair.one.patterns_of("Alice", again) == ()
    for by in (alice, again, Principal(again.account, token=token), Principal(alice.account, token=token)):
        assert pair.one.open_stream("Alice", None, by) is None
    assert pair.one.numbers().subscriptions == 0


def test_streams_are_woken_when_rights_of_their_user_change(pair: Pair) -> None:
    wakes: list[Wake] = []
    pair.one.on_wake(wakes.append)

    def woken(*requests: Request) -> set[str]:
        wakes.clear()
        pair.one.submit(requests)
        return {user for wake in wakes for user in wake.users}

    assert woken(AddUser("Alice", password="$1")) == {"Alice"}
    assert woken(AddGrant("Alice", "subscribe", ">")) == {"Alice"}
    assert woken(RevokeGrant("Alice", "subscribe", ">")) == {"Alice"}
    assert woken(SetPassword("Alice", "$2")) == {"Alice"}
    assert woken(AddGrant("*", "subscribe", ">")) == {"*"}
    assert woken(EndSession("s", account(pair.one, "Alice").account)) == {"Alice"}
    assert woken(Audit("signed-in", "Alice", "127.0.0.1")) == set()
    token = pair.one.submit([CreateToken("Alice", digest("t"))]).first
    assert woken(RevokeToken(token)) == {"Alice"}
    assert woken(RemoveUser("Alice")) == {"Alice"}


def test_the_audit_trail_says_who_did_what_without_texts(pair: Pair) -> None:
    root = add(pair.one, "root", admin=True)
    pair.one.submit([AddUser("Alice")], by=root)
    pair.one.submit([AddGrant("Alice", "publish", "news.>")], by=root)
    alice = principal(pair.one, "Alice")
    pair.one.submit([Publish("news.a", "a secret", publisher="Alice")], by=alice)
    pair.one.submit([RevokeGrant("Alice", "publish", "news.>")], by=root)
    pair.one.submit([RemoveUser("Alice"), Audit("signed-in", "root", "127.0.0.1")])
    rows = [row for row in pair.one.audit(None, 20) if row.what != "added-broker"]  # which is stored once both are in sync
    assert [(row.what, row.by, row.who, row.verb, row.topic, row.detail) for row in rows[-6:]] == [
        ("added-user", "root", "Alice", "", "", ""),
        ("granted", "root", "Alice", "publish", "news.>", ""),
        ("published", "Alice", "", "", "news.a", ""),
        ("revoked-grant", "root", "Alice", "publish", "news.>", ""),
        ("removed-user", "", "Alice", "", "", ""),
        ("signed-in", "", "root", "", "", "127.0.0.1"),
    ]
    assert [row for row in pair.one.audit(rows[-1].time + 1, 6) if row.what != "added-broker"] == []
    assert "added-user" in [row.what for row in pair.one.audit(0, 5)]


def test_what_is_known_of_users_survives_a_restart(pair: Pair) -> None:
    alice = add(pair.one, "Alice", ("subscribe", "news"))
    add(pair.one, "Bob", ("subscribe", ">"))
    pair.one.submit([Subscribe("Alice", "news", account=alice.account), RemoveUser("Bob")])
    pair.restart()
    wait_until(lambda: pair.one.describe().serves)
    assert pair.one.rights(alice) == Rights(subscribe=("news",))
    assert pair.one.patterns_of("Alice", alice) == ("news",)
    assert [row.username for row in pair.one.accounts()] == ["Alice"]


def test_where_nobody_is_asked_nothing_of_an_account_is_seen(pair: Pair) -> None:
    """And the other way round: who is registered without an account has to register again with one."""
    alice = add(pair.one, "Alice", ("subscribe", ">"))
    pair.one.submit([Subscribe("Alice", "news", account=alice.account)], by=alice)
    assert pair.one.open_stream("Alice", None) is None
    pair.one.submit([Subscribe("Alice", "tech")])
    assert pair.one.patterns_of("Alice") == ("tech",)
    assert pair.one.patterns_of("Alice", alice) == ("news",)


class Apart:
    """Two brokers in memory that take commands while they do not reach each other."""

    def __init__(self) -> None:
        self.network, addresses = MemoryNetwork(), ("127.0.0.1:1", "127.0.0.1:2")
        self.now = NOW
        self.engines = [
            MemoryEngine(f"100{n}", address=a, peers=tuple({*addresses} - {a}), network=self.network, clock=self._clock)
            for n, a in enumerate(addresses, 1)
        ]
        self.addresses = addresses
        self.network.cut(*addresses)

    def _clock(self) -> Now:
        return Now((self.now - NOW) / 1000, self.now)

    def submit(self, broker: int, *requests: Request) -> Receipt:
        self.now += 1_000
        return self.engines[broker].submit(requests)

    def meet(self) -> None:
        self.network.mend(*self.addresses)
        for _ in range(5):
            self.now += 10_000
            for engine in self.engines:
                engine.tick()
        vectors = [engine.shell.read(lambda state: dict(state.log.full.items())) for engine in self.engines]
        assert vectors[0] == vectors[1]

    def names(self) -> list[dict[str, str]]:
        return [{row.username: row.account for row in engine.accounts()} for engine in self.engines]


def test_a_fresh_pair_that_starts_apart_ends_with_one_first_admin() -> None:
    pair = Apart()
    made = [pair.submit(n, AddUser("admin", admin=True, password=f"${n}", first=True)).first for n in (1, 0)]
    assert pair.names() == [{"admin": made[1]}, {"admin": made[0]}]
    pair.meet()
    assert pair.names() == [{"admin": made[0]}] * 2, "who was made first"
    for engine in pair.engines:
        assert account(engine, "admin").password == "$1"
        assert engine.rights(Principal(made[1])) is None
        assert [
            row.detail.partition(":")[0] for row in engine.audit(None, 100) if row.what == "added-user" and row.id == made[1]
        ] == ["an admin; of no effect"]


def test_what_a_removal_had_not_seen_stays_and_what_it_saw_goes() -> None:
    pair = Apart()
    first = pair.submit(0, AddUser("Alice")).first
    other = pair.submit(1, AddUser("Alice")).first
    pair.submit(0, RemoveUser("Alice"))
    pair.submit(1, AddGrant("Alice", "publish", "news"))
    pair.meet()
    assert pair.names() == [{"Alice": other}] * 2
    assert [engine.rights(Principal(other)) for engine in pair.engines] == [Rights(publish=("news",))] * 2
    assert [engine.rights(Principal(first)) for engine in pair.engines] == [None, None]
    pair.submit(1, RemoveUser("Alice"))
    assert pair.names() == [{}, {}]


def test_what_is_granted_and_revoked_apart() -> None:
    """A revocation ends what it names; a grant that was made again meanwhile stays."""
    pair = Apart()
    pair.meet()
    pair.submit(0, AddUser("Alice"))
    pair.submit(0, AddGrant("Alice", "publish", "news"))
    pair.submit(0, AddGrant("Alice", "publish", "tech"))
    pair.network.cut(*pair.addresses)
    pair.submit(0, RevokeGrant("Alice", "publish", "news"), RevokeGrant("Alice", "publish", "tech"))
    pair.submit(1, AddGrant("Alice", "publish", "news"))
    pair.meet()
    alice = principal(pair.engines[0], "Alice")
    assert [engine.rights(alice) for engine in pair.engines] == [Rights(publish=("news",))] * 2
