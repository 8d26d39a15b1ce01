"""Ask brokers all that their description allows, and much that it does not, and hold each answer against the description.

The requests are made by schemathesis of `/openapi.json`. Of a `POST` the description allows each field in the query and in the
body; here each route is asked both ways apart, so that no request is refused for having one twice. An answer must have a
status, type and shape that the description names. None may be an error of the broker. What the description allows may be
refused for what it says (`SAYS`), never for its form; what it does not allow is refused.

The cases come from a seed. A finding names the request as a command of curl.
"""

from __future__ import annotations

import argparse
import copy
import os
import secrets
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode, Response
from schemathesis.checks import CheckContext, load_all_checks
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

from brokers import Broker, free_ports, until

Json = dict[str, Any]
AnyCase = Case[Any]
Send = Callable[[AnyCase], Response]

FORM: Final = "application/x-www-form-urlencoded"
MODES: Final = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
# a well-formed request is refused with 400 for what it says: how the code and the sentence begin, by route
SAYS: Final[Mapping[str, tuple[str, ...]]] = {
    # no time, or one that is over; an address that opens nothing; neither text nor title; words with commas; no batch; what
    # comes later and in the place of another
    "/publish": (
        "bad-field: `at`",
        "bad-field: `click`",
        "bad-field: `data` is empty",
        "bad-field: `delay`",
        "bad-field: `escalate`",
        "bad-field: `tags`",
        "bad-field: a message that takes the place",
        "bad-line",
        "bad-body",
        "bad-time",
    ),
    "/accept_loss": ("missing-field: `first` and `last`",),
    "/add_replica": ("unreachable", "bad-address"),
    "/remove_replica": ("bad-address", "bad-field: a broker id"),
    "/ack": ("bad-event-id",),
    # what is white space between words differs by a few control characters between Python and JSON Schema
    "/messages": ("bad-event-id", "bad-time", "bad-field: `scheduled` lists", "bad-field: `q`"),
    "/audit": ("bad-time",),
    "/subscribe": ("bad-time",),
    "/replicate": ("bad-body",),
    "/heartbeat/receive": ("bad-body",),
    # ntfy's wire: a field or body that says what it may not, JSON that is none, text that is not UTF-8, a priority, a time
    **dict.fromkeys(("/", "/{topic}", "/{topic}/publish", "/{topic}/send", "/{topic}/trigger"), ("400",)),
    **dict.fromkeys(("/{topics}/json", "/{topics}/sse", "/{topics}/raw", "/{topics}/ws", "/{topics}/auth"), ("400",)),
}
ALSO_REQUIRED: Final = {"/publish": ("data",)}  # or a title: most messages would be refused for having neither
NEARBY: Final = r"^127\.0\.0\.1:1[0-9]{3}$"  # where no broker is: other addresses would be looked up
FEW: Final = {
    "username": ("ann", "ben"),
    "topic": ("kitchen", "kitchen.soup"),
    "since": ("earliest", "1h"),
    "from": ("now", "earliest"),
}
SAME_AS_A_HEADER: Final = ("key",)  # asked for in one place: the header beside the query, the field in the body
ASKED_FOR: Final = frozenset({"not-enough-copies"})  # of 5xx: the request wants more brokers than there are
STREAM_SECONDS: Final = 0.2  # for what comes first of a stream
ANSWER_SECONDS: Final = 30.0
CONFIG: Final = {
    "checks": {"negative_data_rejection": {"expected-statuses": [400, 401, 403, 404, 405, 409, 413, 415, 429, 431, 503]}}
}
FINDING_CHARS: Final = 1_500  # of one that is told: a message may be long


class Finding(Exception):
    """An answer that is not as described; the text says which, and to what."""


def ways(document: Json) -> Iterator[tuple[str, Json, tuple[GenerationMode, ...]]]:
    """The description, and in which modes it is asked: fields of a `POST` in its body alone; in the query alone; few that meet.

    A body that is wrong is JSON: of a form it is not known whether what is wrong with it is sent at all.
    """
    body, query = _closed(document), _closed(document)
    for path, operations in document["paths"].items():
        operation = operations.get("post")
        if operation is None or "application/json" not in operation.get("requestBody", {}).get("content", ()):
            continue
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        required = [*schema.get("required", ()), *ALSO_REQUIRED.get(path, ())]
        for media in body["paths"][path]["post"]["requestBody"]["content"].values():
            media["schema"] |= {"required": required} if "properties" in media["schema"] else {}
        in_body, in_query = body["paths"][path]["post"], query["paths"][path]["post"]
        in_body["parameters"] = [one for one in operation.get("parameters", ()) if one["in"] == "path"]
        in_body["requestBody"]["required"] = True
        del in_query["requestBody"]
        headers = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "header"]
        in_query["parameters"] = [
            one for one in in_query.get("parameters", ()) if not (headers and one["name"] in SAME_AS_A_HEADER)
        ]
        for parameter in in_query["parameters"]:
            parameter["required"] = parameter["in"] == "path" or parameter["name"] in required
        query["paths"][path] = {"post": in_query}
    query["paths"] = {
        path: one for path, one in query["paths"].items() if "requestBody" not in one.get("post", {"requestBody": 0})
    }
    yield "body", body, MODES[:1]
    yield "met before", _narrowed(body), MODES[:1]
    without_forms = copy.deepcopy(body)
    for operations in without_forms["paths"].values():
        operations.get("post", {}).get("requestBody", {}).get("content", {}).pop(FORM, None)
    yield "body", without_forms, MODES[1:]
    yield "query", query, MODES


def _closed(document: Json) -> Json:
    """A copy in which answers have no fields but those that it names, and brokers to add are of this machine.

    Credentials are the sender's.
    """
    document = copy.deepcopy(document)
    for operation in (operation for operations in document["paths"].values() for operation in operations.values()):
        operation["security"] = []
    for name, schema in document["components"]["schemas"].items():
        if name != "Problem":
            schema["additionalProperties"] = False
    for name, schema in _fields(document["paths"].get("/add_replica", {}).get("post", {})):
        schema |= {"pattern": NEARBY} if name == "broker_ip" else {}
    return document


def _narrowed(document: Json) -> Json:
    """A copy of what has users or topics, with few of both."""
    document = copy.deepcopy(document)
    paths = document["paths"]
    for path, operations in list(paths.items()):
        fields = [field for operation in operations.values() for field in _fields(operation)]
        if not {name for name, _ in fields} & FEW.keys():
            del paths[path]
        for name, schema in fields:
            if name in FEW:
                schema.clear()
                schema["enum"] = list(FEW[name])
    return document


def _fields(operation: Json) -> list[tuple[str, Json]]:
    """The fields of an operation with their schemas, which may be changed."""
    fields = [(one["name"], one["schema"]) for one in operation.get("parameters", ())]
    for media in operation.get("requestBody", {}).get("content", {}).values():
        fields += media["schema"].get("properties", {}).items()
    return fields


def fuzz(document: Json, send: Send, *, cases: int, start: int, only: str = "") -> Iterator[tuple[str, Counter[int]]]:
    """Ask each route up to `cases` times, in all ways and modes. Yields which, and how often each status came.

    Raises Finding. `start`: the seed; `only`: a part of the name of what is asked.
    """
    load_all_checks()
    config = schemathesis.Config.from_dict(CONFIG)
    of_route = defaultdict[str, list[tuple[str, Any]]](list)
    for way, variant, modes in ways(document):
        for result in schemathesis.openapi.from_dict(variant, config=config).get_all_operations():
            assert isinstance(result, Ok), result
            operation = result.ok()
            for mode in [mode for mode in modes if mode in _modes(variant["paths"][operation.path][operation.method])]:
                if operation.method != "head":  # it is that of GET
                    name = f"{operation.label} ({mode.value}, {way})"
                    of_route[operation.label].append((name, operation.as_strategy(generation_mode=mode)))
    for strategies in of_route.values():
        for name, strategy in strategies:
            if only in name:
                yield name, _ask(strategy, send, max(1, cases // len(strategies)), start)


def _modes(operation: Json) -> tuple[GenerationMode, ...]:
    """What has nothing that could be wrong cannot be asked wrongly; any path leads somewhere."""
    has_fields = any(one["in"] != "path" for one in operation.get("parameters", ()))
    has_form = "application/json" in operation.get("requestBody", {}).get("content", ())
    return MODES if has_fields or has_form else MODES[:1]


def _ask(strategy: Any, send: Send, cases: int, start: int) -> Counter[int]:
    statuses = Counter[int]()

    @seed(start)
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def ask(case: AnyCase) -> None:
        response = send(case)
        statuses[response.status_code] += 1
        check(case, response)

    ask()
    return statuses


def check(case: AnyCase, response: Response) -> None:
    """Raise Finding if `response` is not one that the description has for `case`."""
    try:
        case.validate_response(
            response,
            checks=[
                no_fault,
                refused_for_what_it_says,
                checks.status_code_conformance,
                checks.content_type_conformance,
                checks.response_headers_conformance,
                checks.response_schema_conformance,
                checks.negative_data_rejection,
            ],
        )
    except (Failure, FailureGroup) as error:
        raise Finding(f"{str(error)[:FINDING_CHARS]}\n{case.as_curl_command()[:FINDING_CHARS]}") from None


def code_of(response: Response) -> str:
    """The code of a problem, "" for another answer, also for an error of ntfy's wire."""
    kind = response.headers.get("content-type", [""])[0]
    return str(response.json()["code"]) if kind == "application/problem+json" and response.content else ""


def no_fault(ctx: CheckContext, response: Response, case: AnyCase) -> None:
    """No error of the broker."""
    if response.status_code >= 500 and code_of(response) not in ASKED_FOR:
        raise Failure(operation=case.operation.label, title="An error of the broker", message=response.text)


def refused_for_what_it_says(ctx: CheckContext, response: Response, case: AnyCase) -> None:
    """What the description allows is well formed."""
    is_allowed = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if not is_allowed or response.status_code not in (400, 415):
        return
    body = response.json()
    said = f"{body['code']}: {body.get('detail') or body.get('error')}"
    if not said.startswith(SAYS.get(case.operation.path, ())):
        raise Failure(operation=case.operation.label, title="Refused, and the description allows it", message=response.text)


def sender(address: str, credential: tuple[str, str] | None = None) -> Send:
    """Asks the broker at `address`; `credential`: a user and a password. Of a stream it reads what comes first."""
    session = requests.Session()
    session.auth = credential

    def send(case: AnyCase) -> Response:
        seconds = STREAM_SECONDS if case.operation.path.startswith(("/stream", "/{topics}")) else ANSWER_SECONDS
        try:
            while True:
                try:
                    return case.call(base_url=f"http://{address}", session=session, timeout=seconds)
                except requests.Timeout:  # not even the head of an answer has come
                    if seconds >= ANSWER_SECONDS:
                        raise
                    seconds = min(10 * seconds, ANSWER_SECONDS)
        except requests.ConnectionError:
            if not case.operation.path.startswith("/{topics}"):
                raise
            case.query = {**(case.query or {}), "poll": "1"}  # it was a stream, and goes on: what there is, then
            return case.call(base_url=f"http://{address}", session=session, timeout=ANSWER_SECONDS)

    return send


def main() -> int:
    """Ask a pair of brokers for as long as is asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1_000, help="of each route (default 1000)")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", default="", help="a part of the name of what is asked")
    parser.add_argument("--auth", choices=("none", "required"), default="none", help="required: an admin asks")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    credential = ("admin", secrets.token_urlsafe()) if options.auth == "required" else None
    with tempfile.TemporaryDirectory() as folder:
        one, two = free_ports(2)
        words = ("--auth", options.auth)
        if credential is not None:
            settings_file = Path(folder) / "newswire.toml"  # brokers that start here read it
            settings_file.touch(mode=0o600)
            settings_file.write_text(f'admin-password = "{credential[1]}"\n')
        first = Broker("1001", one, Path(folder), peers=[two], primary=True, options=words)
        second = Broker("1002", two, Path(folder), peers=[one], options=words)
        try:
            for broker in (first, second):
                broker.launch()
            for broker in (first, second):
                broker.wait_ready()
            url = f"http://{first.address}"
            until("the admin is known", lambda: requests.get(f"{url}/me", timeout=10, auth=credential).ok)
            document = requests.get(f"{url}/openapi.json", timeout=10, auth=credential).json()
            send = sender(first.address, credential)
            for name, statuses in fuzz(document, send, cases=options.cases, start=options.seed, only=options.only):
                print(f"{name}: {dict(sorted(statuses.items()))}", flush=True)
        except Finding as finding:
            print(finding, file=sys.stderr)
            return 1
        finally:
            for broker in (first, second):
                broker.kill9()
    return 0


if __name__ == "__main__":
    os.environ.setdefault("NO_PROXY", "127.0.0.1")
    sys.exit(main())
