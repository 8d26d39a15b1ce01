"""docs/http.md says what the broker does: its routes, fields, codes, headers and limits are those of the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

from newswire.core import limits
from newswire.core.broker.values import HoleRow
from newswire.core.model.coverage import Coverage, write
from newswire.core.model.names import ROUTES
from newswire.core.model.ops import Published
from newswire.errors import TABLE, NewswireError
from newswire.sse import message_object
from newswire.web import message_fields, responses
from newswire.web.routes.cluster import ShownBroker
from tests.kit.web_fakes import Web

PAGE: Final = (Path(__file__).resolve().parent.parent / "docs/http.md").read_text()


def section(heading: str) -> str:
    """The text below a heading, up to the next one."""
    return re.split(r"^## ", PAGE.partition(f"\n## {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(heading: str, header: str = "field") -> set[str]:
    """The words in the first column of the table that `header` begins."""
    table = section(heading).partition(f"| {header} | ")[2].partition("\n\n")[0]
    return {word for cell in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE) for word in re.findall(r"`([\w-]+)`", cell)}


@pytest.fixture
def web() -> Web:
    return Web()


def test_each_route_is_there_and_no_other(web: Web) -> None:
    rules = [(rule.rule, rule.methods or ()) for rule in web.app.url_map.iter_rules()]
    routes = {f"{method} {path}" for path, methods in rules for method in methods if method != "HEAD"}
    assert set(re.findall(r"`((?:GET|POST|PUT|DELETE) /[\w/<>.]*)`", PAGE.partition("## Names")[0])) == routes


def test_each_code_is_there_with_its_status_and_no_other() -> None:
    rows = re.findall(r"^\| ((?:`[\w-]+`(?:, )?)+) \| (\d{3}) \|", section("Codes"), re.MULTILINE)
    codes = {name: int(status) for names, status in rows for name in re.findall(r"`([\w-]+)`", names)}
    assert codes == {code: status for code, (status, _) in TABLE.items()}
    assert sum(len(names.split(", ")) for names, _ in rows) == len(TABLE), "a code stands there twice"


def test_each_status_of_an_error_is_told_what_to_do() -> None:
    table = section("Errors").partition("| status |")[2]
    told = {int(status) for status in re.findall(r"\b([45]\d\d)\b", table)}
    assert {status for status, _ in TABLE.values()} == told


def test_a_message_has_the_fields_of_the_page(web: Web) -> None:
    assert first_cells("Publish") == message_fields.FIELDS | {"copies", "ids"}
    message = Published(
        "1001-a",
        2,
        0,
        topic="news",
        data="x",
        key="",
        publisher="Ann",
        title="T",
        priority=3,
        tags=("a",),
        click="https://example.org",
        markdown=True,
        confirm=60,
        about="1001-a.1",
        replaces="1001-a.2",
        original="1001-a.1",
    )
    row = next(line for line in section("Stream").splitlines() if line.startswith("| (no name) |"))
    fields = set(message_object(message, str(write(Coverage("", {})))))
    assert set(re.findall(r"`(\w+)`", row.partition("As JSON:")[2])) == fields


def test_health_and_brokers_have_the_fields_of_the_page(web: Web) -> None:
    known: Any = web.get("/readyz")
    assert first_cells("Health") | {"message"} == set(known) | {
        "disk_free_bytes", "disk_reserve_bytes", "ops_file_bytes", "disk_full_seconds"
    }  # fmt: skip
    holes = re.search(r"^\| `holes` \| .*$", section("Health"), re.MULTILINE)
    assert holes is not None
    assert set(re.findall(r"`(\w+)`", holes[0])) - {"holes"} == set(HoleRow.__struct_fields__)
    assert first_cells("Brokers") == set(ShownBroker.__struct_fields__)


def test_what_says_when_to_try_again_is_on_the_page(web: Web) -> None:
    row = re.search(r"^\| `Retry-After` \| .*$", section("Headers"), re.MULTILINE)
    assert row is not None
    with web.app.test_request_context():
        said = {
            status
            for code, (status, _) in TABLE.items()
            if "Retry-After" in responses.problem(NewswireError("x", code=code)).headers
        }
    assert {int(status) for status in re.findall(r"\b\d{3}\b", row[0])} == said


def test_reserved_words_that_the_page_names_are_reserved() -> None:
    named = re.search(r"addresses of the service begin with, such as `(\w+)` or `(\w+)`", re.sub(r"\s+", " ", PAGE))
    assert named is not None
    assert set(named.groups()) <= ROUTES


@pytest.mark.parametrize(
    ("heading", "said"),
    [
        ("Limits", f"{limits.MESSAGE_BYTES // 1024} KiB of `data`"),
        ("Limits", f"{limits.BATCH_MESSAGES:,} messages, {limits.BATCH_LINES:,} lines, {limits.BATCH_BYTES >> 20} MiB"),
        ("Limits", f"a line {limits.FORM_BYTES // 1024} KiB"),
        ("Limits", f"{limits.FORM_BYTES // 1024} KiB, {limits.FIELDS_COUNT} fields"),
        ("Limits", f"signs in, or changes the brokers {limits.CHANGE_BYTES // 1024} KiB"),
        (
            "Limits",
            f"{limits.HEAD_BYTES // 1024} KiB, {limits.HEADERS_COUNT} headers; an event id {limits.EVENT_ID_CHARS // 1024} KiB",
        ),
        ("Limits", f"{limits.PAGE_MESSAGES:,} messages"),
        ("Limits", f"{limits.HEAD_SECONDS:g} s for its head, {limits.BODY_SECONDS:g} s for all of it"),
        ("Limits", f"{limits.STREAMS_PER_USER} a user, {limits.STREAMS_COUNT:,} a broker"),
        ("Limits", f"{limits.SUBSCRIPTIONS_PER_USER:,} a user"),
        ("Names", f"1 to {limits.TOPIC_CHARS} ASCII letters"),
        ("Names", f"1 to {limits.USERNAME_CHARS} ASCII letters"),
        ("Publish", f"one line of up to {limits.TITLE_CHARS} characters"),
        ("Publish", f"up to {limits.TAGS_COUNT} words of up to {limits.TAG_CHARS} characters"),
        ("Publish", f"address of up to {limits.URL_CHARS:,} characters"),
        ("Publish", f"1 to {limits.KEY_BYTES} printable ASCII characters"),
        ("Publish", f"1 to {limits.PEERS_COUNT}; fewer in sync"),
        ("Stream", f"`retry: {limits.RETRY_MILLISECONDS}`"),
        ("Stream", f"`retry: {limits.RETRY_LATER_MILLISECONDS}`"),
        ("Messages and topics", f"1 to {limits.PAGE_MESSAGES:,}, else {limits.PAGE_DEFAULT_MESSAGES}"),
        ("Messages and topics", f"exceed {limits.PAGE_BYTES >> 20} MiB"),
        ("Brokers", f"429 beyond {limits.PEERS_COUNT}"),
    ],
)
def test_each_number_is_that_of_the_code(heading: str, said: str) -> None:
    assert said in re.sub(r"\s+", " ", section(heading))
