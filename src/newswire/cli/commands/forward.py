"""`newswire forward`: reads a user's stream and hands each message to addresses of Apprise: mail, chats, phones.

It acknowledges what was handed over, message by message. Beside each broker of a cluster, with `--only-at-primary`, the one at
whichever broker is primary hands on, and those at the others stand by.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from newswire import escape
from newswire.cli import output
from newswire.cli.command import Command
from newswire.cli.forwarding import Forwarder, Notice, Target, Template, retry_seconds, without_secrets
from newswire.cli.options import PATTERN, brokers_option, config_option, option, times
from newswire.cli.parameters import WholeNumber
from newswire.cli.secret_files import read_secret
from newswire.core import limits
from newswire.core.model.names import check_topic
from newswire.errors import BadRequest, NewswireError, NoBroker, NotStored, Unknown

if TYPE_CHECKING:
    from newswire.client import Message, Publisher, Subscriber
    from newswire.client.transport import Transport

_NO_APPRISE: Final = "forwarding needs Apprise, which is not installed: pip install 'newswire[forward]'."
_PASSING: Final = (NoBroker, NotStored, Unknown)  # trying again is right


@click.command(
    cls=Command,
    short_help="Hand each message to mail, chats, phones.",
    epilog="Example: newswire forward ops --to-file /etc/newswire/forward-to --dead-letter ops.undelivered",
)
@config_option
@brokers_option
@click.argument("user", required=False)
@option("--to", "urls", multiple=True, metavar="URL", help="An address of Apprise, such as mailto://...; repeatable.")
@option("--to-file", type=click.Path(path_type=Path, dir_okay=False), help="A file of such addresses, one a line.")
@option("--template", help="The text, with fields in braces: '{topic}: {data}'  [default: the text and its address]")
@option("--dead-letter", type=PATTERN, metavar="TOPIC", help="Where a message is published that was not taken.")
@option("--tries", type=WholeNumber(1), default=limits.FORWARD_TRIES_COUNT, help="Tries before --dead-letter.")
@option("--only-at-primary", is_flag=True, help="Hand on only while the first of --brokers is the primary.")
@click.pass_context
def forward(
    ctx: click.Context,
    brokers: tuple[str, ...],
    user: str | None,
    urls: tuple[str, ...],
    to_file: Path | None,
    template: str | None,
    dead_letter: str | None,
    tries: int,
    only_at_primary: bool,
) -> int:
    """Hand each message of USER, or yours, to the addresses of --to and --to-file, until stopped.

    A message counts as delivered when every address took it; until then it is tried again, ever more rarely.
    """
    from newswire.cli.credentials import check_named, signature
    from newswire.client import Publisher, Subscriber

    if urls and ctx.get_parameter_source("urls") is click.core.ParameterSource.COMMANDLINE:
        output.warn("others on this machine can see what --to holds: keep what is secret in a file, --to-file.")
    targets = targets_of([*urls, *(read_secret(to_file, "addresses").splitlines() if to_file else ())])
    text = _checked(lambda: Template(template) if template else None, "--template")
    topic = _checked(lambda: check_topic(dead_letter) if dead_letter else "", "--dead-letter")
    who = signature(brokers)
    check_named(user, who)
    stop = threading.Event()
    before = {number: signal.signal(number, _stopper(stop)) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with (
            Subscriber(brokers, user, **who, **times(None)) as subscriber,
            Publisher(brokers, **who, **times(None)) as publisher,
        ):
            is_ours = Beside(brokers[0], subscriber.pool.transport).is_primary if only_at_primary else lambda: True
            forwarder = Forwarder(
                targets,
                template=text,
                tries=tries,
                bury=_burial(publisher, topic, stop) if topic else None,
                dead_letters=topic,
                goes_on=lambda seconds: not stop.wait(seconds) and is_ours(),
                say=say,
            )
            hand_on(subscriber, forwarder, is_ours, stop)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return output.DONE


def hand_on(subscriber: Subscriber, forwarder: Forwarder, is_ours: Callable[[], bool], stop: threading.Event) -> None:
    """Hand on until `stop` is set, while `is_ours` says so. Raises what is final: who asks may not, or is not registered."""
    from newswire.client import Gap

    stands_by = False
    while not stop.is_set():
        if not is_ours():
            if not stands_by:
                say("standing by: another broker is the primary")
            stands_by = True
            stop.wait(limits.FORWARD_LOOK_SECONDS)
            continue
        if stands_by:
            say("handing on: this broker is the primary")
        stands_by = False
        with subscriber.stream(ack=False, stop=stop) as stream:  # which begins at the cursor each time
            for item in stream:
                if stop.is_set() or not is_ours():
                    break
                if isinstance(item, Gap):
                    say(f"{item.dropped} messages of topic {item.topic} are not there, and were not handed on")
                elif not forwarder.forward(item):
                    break
                if item.event_id:
                    _repeat(lambda event_id=item.event_id: subscriber.ack(event_id), stop)  # type: ignore[misc]


class Beside:
    """The broker that this process runs beside."""

    def __init__(self, address: str, transport: Transport, clock: Callable[[], float] = time.monotonic) -> None:
        self._address, self._transport, self._clock = address, transport, clock
        self._is_primary, self._until = False, float("-inf")

    def is_primary(self) -> bool:
        """Whether it is the primary, as it says itself, or did a moment ago. One that does not answer is none."""
        from newswire.client.answers import Row
        from newswire.client.transport import Call
        from newswire.client.unreached import Unreached

        if self._clock() >= self._until:
            try:
                answer = self._transport.send(self._address, Call("GET", "/list_replicas"), limits.CLIENT_SIDE_SECONDS)
                rows: list[Row] = answer.read(list[Row]) if answer.status == 200 else []
            except (Unreached, NewswireError):
                rows = []
            self._is_primary = any(row.itself and row.is_primary and row.state == "up" for row in rows)
            self._until = self._clock() + limits.FORWARD_PROOF_SECONDS
        return self._is_primary


class AppriseTarget:
    """An address of Apprise. What it is called, and what is said of it, holds no part of the address."""

    def __init__(self, number: int, url: str, notifier: Any, apprise: Any) -> None:
        self.name = f"target {number} ({url.partition('://')[0]})"
        self._url, self._notifier, self._apprise = url, notifier, apprise

    def hand_over(self, notice: Notice) -> str:
        """Hand it over; "" if it was taken, else why not."""
        kinds, reasons = self._apprise.NotifyType, _Reasons()
        log = logging.getLogger("apprise")
        log.addHandler(reasons)
        try:
            is_taken = self._notifier.notify(
                title=notice.title,
                body=notice.body,
                notify_type=kinds.WARNING if notice.is_urgent else kinds.INFO,
                body_format=self._apprise.NotifyFormat.TEXT,
            )
        except Exception as error:  # of a plug-in: what it does not foresee must not end all others
            return f"failed with {type(error).__name__}"
        finally:
            log.removeHandler(reasons)
        return "" if is_taken else escape.line(without_secrets(reasons.last, self._url)) or "refused it"


class _Reasons(logging.Handler):
    """Keeps the last words of Apprise, which are shown to nobody as they are."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what is said."""
        self.last = record.getMessage()


def targets_of(lines: Sequence[str]) -> list[Target]:
    """The targets of these addresses; empty lines and those that begin with # are none. Raises click.ClickException."""
    urls = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    if not urls:
        raise click.UsageError("name an address to hand messages to, with --to or in the file of --to-file.")
    try:
        import apprise
    except ImportError:
        raise click.ClickException(_NO_APPRISE) from None
    logging.getLogger("apprise").propagate = False  # its words name addresses, with what is secret in them
    targets: list[Target] = []
    for number, url in enumerate(urls, 1):
        notifier = apprise.Apprise()
        if not notifier.add(url):
            raise click.UsageError(f"address {number} of --to is none that Apprise knows: `apprise --details` lists them.")
        targets.append(AppriseTarget(number, url, notifier, apprise))
    return targets


def bury(publisher: Publisher, topic: str, message: Message) -> None:
    """Publish `message` to the topic of dead letters: once, however often that is tried."""
    title = f"Not handed on ({message.topic}): {message.title}" if message.title else f"Not handed on ({message.topic})"
    publisher.publish(
        topic,
        message.data,
        title=title[: limits.TITLE_CHARS],
        priority=message.priority or None,
        tags=message.tags or None,
        click=message.click or None,
        key=f"dead-letter.{message.id}",
    )


def say(text: str) -> None:
    """Say something of what goes on, on standard error."""
    output.warn(output.sentence_of(escape.line(text)))


def _burial(publisher: Publisher, topic: str, stop: threading.Event) -> Callable[[Message], bool]:
    return lambda message: _repeat(lambda: bury(publisher, topic, message), stop)


def _repeat(do: Callable[[], object], stop: threading.Event) -> bool:
    """Do it, again and again while no broker can; False: `stop` was set before that. Raises what is final."""
    tries = 0
    while True:
        try:
            do()
            return True
        except _PASSING as error:
            tries += 1
            say(f"{error.detail}; again in {retry_seconds(tries):g} s")
            if stop.wait(retry_seconds(tries)):
                return False


def _stopper(stop: threading.Event) -> Callable[[int, object], None]:
    """A handler of signals: what is in flight is handed over and acknowledged; a second one interrupts."""

    def handle(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    return handle


def _checked(read: Callable[[], Any], name: str) -> Any:
    try:
        return read()
    except BadRequest as error:
        raise click.UsageError(f"{name}: {error.detail}.") from None
