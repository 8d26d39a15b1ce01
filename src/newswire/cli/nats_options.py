"""How a broker is told of NATS servers: options of their own, and what those may be."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable
from typing import Any, Final

import click

from newswire.cli.options import Checked, option, variable
from newswire.cli.parameters import WholeNumber
from newswire.config import NatsSettings
from newswire.errors import BadRequest

_STREAM_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_stream_name(text: str) -> str:
    """Return `text` if a JetStream stream may have this name. Raises BadRequest."""
    if not _STREAM_NAME.fullmatch(text):
        raise BadRequest("use letters, digits, - and _, 64 at most", code="bad-field")
    return text


STREAM_NAME: Final = Checked("NAME", check_stream_name)


class NatsParam(click.ParamType):  # type: ignore[type-arg]
    """URLs of NATS servers, with commas between. What is refused is not repeated: a password may be in it."""

    name = "URL,URL"

    def __init__(self, schemes: tuple[str, ...] = ("nats", "tls", "ws", "wss")) -> None:
        self._schemes = schemes

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the URLs."""
        parts = value.split(",") if isinstance(value, str) else value
        urls = tuple(str(part).strip() for part in parts if str(part).strip())
        for url in urls:
            try:
                place = urllib.parse.urlsplit(url)
                well = place.scheme in self._schemes and bool(place.hostname) and (place.port is None or place.port > 0)
            except ValueError:
                well = False
            if not well:
                self.fail(f"name each server as {self._schemes[0]}://HOST:PORT, with commas between", param, ctx)
        return urls


def no_password(ctx: click.Context, param: click.Parameter, urls: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a password in a URL of the command line. Raises click.UsageError."""
    is_flag = ctx.get_parameter_source(str(param.name)) is click.core.ParameterSource.COMMANDLINE
    if is_flag and any("@" in urllib.parse.urlsplit(url).netloc for url in urls):
        raise click.UsageError(
            "a password on the command line can be read by every user of this machine: put the URLs into"
            f" {variable(str(param.name))} or the TOML file, or name a file with --nats-credentials.",
            ctx,
        )
    return urls


def nats_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of the servers of a log; `nats_settings` reads them."""
    for declare in reversed(_OPTIONS):
        command = declare(command)
    return command


_OPTIONS: Final = (
    option(
        "--nats",
        "--to",
        "nats",
        type=NatsParam(),
        default="",
        callback=no_password,
        show_default=False,
        help="The NATS servers that keep the log, nats://HOST:4222 each, commas between.",
    ),
    option(
        "--nats-credentials",
        type=click.Path(dir_okay=False),
        default="",
        show_default=False,
        help="File of credentials for NATS (.creds).",
    ),
    option("--nats-stream", type=STREAM_NAME, default="newswire", help="Name of the JetStream stream that is the log."),
    option(
        "--nats-replicas",
        type=WholeNumber(1, 5),
        show_default="3 where three --nats are named, else 1",
        help="NATS servers that keep a log which is made.",
    ),
    option(
        "--nats-monitor",
        type=NatsParam(("http", "https")),
        default="",
        show_default=False,
        help="Monitoring addresses of the NATS servers, http://HOST:8222 each: whether they sync is told there alone.",
    ),
)


def nats_settings(values: dict[str, Any]) -> NatsSettings:
    """What these options say; they are taken out of `values`."""
    servers = tuple(values.pop("nats", ()))
    return NatsSettings(
        servers=servers,
        credentials=values.pop("nats_credentials", ""),
        stream=values.pop("nats_stream", "newswire"),
        replicas=values.pop("nats_replicas", None) or (3 if len(servers) >= 3 else 1),
        monitors=tuple(values.pop("nats_monitor", ())),
    )
