"""The thin shell around the menus: reads lines, performs what a machine asks for through the client library, prints."""

from __future__ import annotations

import re
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from newswire import errors, escape
from newswire.cli import menus, output, phrases, terminal, window
from newswire.cli.children import Children
from newswire.cli.credentials import Signature, signature
from newswire.cli.menus import Action, Menu, MenuState
from newswire.cli.terminal import Terminal
from newswire.core import limits
from newswire.core.model import names
from newswire.errors import NewswireError, NoBroker, NotStored, Unauthenticated, Unknown

if TYPE_CHECKING:
    from newswire.client import BrokerPool, ClusterSnapshot, Subscriber
    from newswire.client.cluster import ClusterClient

_FLAGS: Final = (  # what the sentences for a command line say, and what they mean where there is none
    (re.compile(r" \(--[a-z-]+\)"), ""),
    (re.compile(r",? (?:with|by) --[a-z-]+(?: [A-Z:]+)?"), ""),
    (re.compile(r"--id or --ops-dir"), "id"),
    (re.compile(r"--id\b"), "id"),
    (re.compile(r"--([a-z]+)(?:-([a-z]+))?(?:-([a-z]+))?"), lambda found: " ".join(part for part in found.groups() if part)),
)


def run(menu: Menu, brokers: Sequence[str], ops_dir: Path = Path("ops_logs")) -> int:
    """Run a menu in this process's terminal until it is left. Returns the exit code."""
    here = terminal.standard()
    desk = MenuActions(here, brokers, Children(ops_dir), signature(brokers))
    try:
        loop(menu, here, desk)
    except KeyboardInterrupt:
        here.say("")
    desk.leave()
    return output.DONE


def loop(menu: Menu, here: Terminal, desk: MenuActions) -> None:
    """Ask, step, perform, until the menu is left or input ends. An error is a sentence, and the menu goes on."""
    state = menus.START
    while (line := _ask(menu, state, here)) is not None:
        if here.lines.is_cut:
            here.tell(_CUT)
            continue
        if menus.asks_brokers(menu, state, line) and not _identify(here, desk):
            continue
        before, result = state, menus.step(menu, state, line, desk.username)
        state = result.state
        if result.text:
            here.tell(result.text)
        if isinstance(result.action, menus.LeaveMenu):
            return
        if isinstance(result.action, menus.Open):
            loop(result.action.menu, here, desk)
        elif result.action and _comes_to_nothing(result.action, here, desk):
            state = menus.kept_after(before, line)
            if note := menus.kept_line(state):
                here.tell(note)


def _ask(menu: Menu, state: MenuState, here: Terminal) -> str | None:
    if further := menus.further_line(menu, state):
        here.tell(further)
    return here.ask(menus.prompt(menu, state))


def _identify(here: Terminal, desk: MenuActions) -> bool:
    """Have the user sign in where brokers want that, before anything else is asked; False: he has not, which is told."""
    try:
        desk.identify()
    except NewswireError as error:
        here.tell(sentence(error))
        return False
    except KeyboardInterrupt:
        here.say("")
        return False
    return True


_CUT: Final = (
    f"That line was too long: a terminal passes on {limits.TERMINAL_LINE_BYTES:,} bytes of one, and the rest is lost."
    " Enter it shorter; longer texts can be published from a file."
)


def _comes_to_nothing(action: Action, here: Terminal, desk: MenuActions) -> bool:
    """Perform `action`, tell its error; whether the same action may well succeed later."""
    try:
        desk.perform(action)
    except NewswireError as error:
        here.tell(sentence(error))
        return isinstance(error, NoBroker | NotStored | Unauthenticated | Unknown) or isinstance(action, menus.StartBroker)
    except OSError as error:
        here.tell(output.sentence_of(f"this machine refuses it: {error}"))
    except KeyboardInterrupt:
        here.say("\nInterrupted: perhaps it was done.")
        return True
    return False


def sentence(error: NewswireError) -> str:
    """What a menu says of an error: it has no flags and no addresses to post to."""
    if isinstance(error, Unknown):
        why = error.detail.partition(": perhaps")[0]
        return output.sentence_of(f"{why}: perhaps it was done. Do it again: it will not be done twice")
    if isinstance(error, Unauthenticated) and error.extra.get("sent") == "password":
        return "The name or the password is wrong."
    return output.sentence_of(without_flags(errors.as_sentence(error.detail.strip() or error.title, "menu")))


def without_flags(text: str) -> str:
    """Say what a sentence for the command line says, without its options."""
    for flag, words in _FLAGS:
        text = flag.sub(words, text)
    return text


class MenuActions:
    """Performs the actions of all menus. One thread.

    Each action has a client of its own: what an earlier one learned of the brokers is old by the time somebody has typed.
    Where brokers ask who that is, name and password are asked for once, and serve until the menu is left. `username`: who is
    signed in and acts for nobody else, "" where that is an admin, or nobody is asked or known.
    One whose outcome is not known keeps its key: done again it is the same message.
    """

    def __init__(
        self,
        here: Terminal,
        brokers: Sequence[str],
        children: Children,
        who: Signature,
        open_window: Callable[[str], bool] = window.open_window,
    ) -> None:
        self._here = here
        self._brokers = tuple(brokers)
        self._children = children
        self._who = who
        self._open_window = open_window
        self._keys: dict[Action, str] = {}
        self._is_identified = False
        self.username = ""

    def identify(self) -> None:
        """Ask the brokers, once, who uses this menu, and him where they want to know. Raises NewswireError: not signed in.

        Where no broker says so in time, the next choice asks again; what is wrong is told by what was chosen.
        """
        if self._is_identified:
            return
        try:
            self._recognize(self._who, limits.CLIENT_SIDE_SECONDS)
        except Unauthenticated as refused:
            self.sign_in(refused)
        except NewswireError:
            return

    def perform(self, action: Action) -> None:
        """Do what a menu asked for; ask who that is where brokers want to know it. Raises NewswireError."""
        try:
            self._do(action)
        except Unauthenticated as refused:
            self.sign_in(refused)
            self._do(action)

    def sign_in(self, refused: Unauthenticated) -> None:
        """Ask for name and password, and try them. Raises Unauthenticated: nothing was entered, or the wrong."""
        expired = "Your sign-in counts no more" if refused.extra.get("sent") != "nothing" else "The brokers ask who you are"
        self._here.tell(f"{expired}: sign in, or press Enter alone to go back to the menu.")
        name, password = "", None
        try:
            name = (self._here.ask("Enter your name: ") or "").strip()
            password = self._here.ask_secret("Enter your password: ") if name else None
        except KeyboardInterrupt:
            self._here.say("")
        if not name or not password:
            raise Unauthenticated(menus.NOTHING_ENTERED)
        who: Signature = {"user": names.check_username(name), "password": password}
        self._recognize(who, limits.CLI_CALL_SECONDS)
        self._who = who

    def _recognize(self, who: Signature, seconds: float) -> None:
        """Take note of whom the brokers take `who` for; that may last `seconds`. Raises NewswireError."""
        from newswire.client.access import AccessClient

        with AccessClient(self._brokers, **who, timeout=seconds, absent=0) as client:
            myself = client.me()
        self._is_identified = True
        self.username = "" if myself.admin or myself.auth == "none" else myself.username or ""

    def _do(self, action: Action) -> None:
        from newswire.cli import summary

        match action:
            case menus.PublishTopic():
                self._publish(action)
            case menus.SubscribeUser(username, topic):
                self._subscribe(username, topic)
            case menus.UnsubscribeUser(username, topic):
                self._unsubscribe(username, topic)
            case menus.ListSubscriptions(username):
                self._list_subscriptions(username)
            case menus.ListTopics():
                self._list_topics()
            case menus.StreamMessages(username):
                self._stream(username)
            case menus.StartBroker():
                self._start(action)
            case menus.StopBroker(broker):
                self._children.stop(broker)
                self._here.say(f"Broker {broker} has stopped.")
            case menus.AddReplica(address):
                self._change(lambda client: client.add(address))
            case menus.RemoveReplica(address):
                self._change(lambda client: client.remove(address))
            case menus.ListReplicas():
                with self._patience():
                    snapshot = summary.look(self._brokers, absent=0, who=self._who)
                self._here.say(phrases.nodes_line(snapshot.nodes))
                for row in snapshot.rows:
                    self._here.tell(summary.row_line(row))
            case menus.ShowStatus():
                with self._patience():
                    cluster = summary.gather(self._brokers, absent=0, who=self._who)
                self._show(summary.as_tables(cluster))

    def leave(self) -> None:
        """Say what goes on without the menu."""
        for broker, process in self._children.running().items():
            self._here.tell(
                f"Broker {broker} goes on: process {process}, log {self._children.log(broker)}, stop it with: kill {process}"
            )

    def _publish(self, action: menus.PublishTopic) -> None:
        from newswire.client import Publisher

        key = self._keys.setdefault(action, str(uuid.uuid4()))
        with Publisher(self._brokers, **self._who, timeout=limits.CLI_CALL_SECONDS, absent=0) as publisher:
            snapshot = self._look(publisher.pool)
            self._say(phrases.connecting_lines(snapshot.nodes, snapshot.primary, moved=snapshot.moved, always_list=True))
            try:
                receipt = publisher.publish(action.topic, action.data, key=key)
            except Unknown:
                raise
            except NewswireError:
                del self._keys[action]
                raise
            del self._keys[action]
            self._say([phrases.answer_line(receipt.message), phrases.copies_line(receipt.copies)])

    def _subscribe(self, username: str, topic: str) -> None:
        with self._subscriber(username) as subscriber:
            snapshot = self._look(subscriber.pool)
            self._say(phrases.connecting_lines(snapshot.nodes, snapshot.primary, moved=snapshot.moved, always_list=False))
            self._here.say(_url(subscriber.pool, snapshot.primary, "/subscribe", {"username": username, "topic": topic}))
            self._here.say(phrases.answer_line(subscriber.subscribe(topic)))

    def _unsubscribe(self, username: str, topic: str) -> None:
        with self._subscriber(username) as subscriber:
            snapshot = self._look(subscriber.pool)
            self._say(phrases.connecting_lines(snapshot.nodes, snapshot.primary, moved=snapshot.moved, always_list=False))
            self._here.say(phrases.answer_line(subscriber.unsubscribe(topic)))

    def _list_subscriptions(self, username: str) -> None:
        with self._subscriber(username) as subscriber:
            self._look(subscriber.pool)
            rows = subscriber.subscriptions()
        if not rows:
            self._here.tell(f"{username} is not subscribed to any topic.")
            return
        self._show([output.Table(("Topic", "Unread"), [(row.topic, f"{row.unread:,}") for row in rows])])

    def _list_topics(self) -> None:
        from newswire.client.cluster import ClusterClient

        with ClusterClient(self._brokers, **self._who, timeout=limits.CLI_CALL_SECONDS, absent=0) as client:
            self._look(client.pool)
            rows = client.topics()
        if not rows:
            self._here.tell("There are no topics yet: the first message to one makes it.")
            return
        self._show([output.Table(("Topic", "Messages"), [(row.topic, f"{row.messages:,}") for row in rows])])

    def _subscriber(self, username: str) -> Subscriber:
        from newswire.client import Subscriber

        return Subscriber(self._brokers, username, **self._who, timeout=limits.CLI_CALL_SECONDS, absent=0)

    def _stream(self, username: str) -> None:
        from newswire.cli import viewing

        with self._subscriber(username) as subscriber:
            snapshot = self._look(subscriber.pool)
            pool, primary = subscriber.pool, snapshot.primary
            seat = pool.seat(primary)
            url = _url(pool, seat, "/stream", {"username": username})
            address = url if pool.is_anonymous else window.with_ticket(url, pool, seat)
        self._say(phrases.connecting_lines(snapshot.nodes, primary, moved=snapshot.moved, always_list=False, seat=seat))
        self._say([url, phrases.opening_line(username)])
        if not self._open_window(address):
            viewing.stream_here(self._here, self._brokers, username, self._who)

    def _look(self, pool: BrokerPool) -> ClusterSnapshot:
        """Ask who is there; a second without any answer is told. Raises NoBroker."""
        with self._patience():
            return pool.look(try_seconds=limits.MENU_TRY_SECONDS)

    @contextmanager
    def _patience(self) -> Iterator[None]:
        text = f"No broker has answered yet, still asking {', '.join(self._brokers)} (Ctrl-C to stop) ..."
        timer = threading.Timer(limits.MENU_QUIET_SECONDS, self._here.tell, [text])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _start(self, action: menus.StartBroker) -> None:
        self._here.say(f"Starting broker {action.id}...")
        self._say([escape.line(line) for line in self._children.start(action)])
        address = f"127.0.0.1:{action.port}"
        brokers = (address, *self._brokers) if action.primary else (*self._brokers, address)
        self._brokers = tuple(dict.fromkeys(brokers))

    def _change(self, ask: Callable[[ClusterClient], str]) -> None:
        from newswire.client.cluster import ClusterClient

        with ClusterClient(self._brokers, **self._who, timeout=limits.CLI_CALL_SECONDS, absent=0) as client:
            self._look(client.pool)
            self._here.say(phrases.answer_line(ask(client)))

    def _show(self, tables: Sequence[output.Table]) -> None:
        output.print_tables(tables, self._here.out if self._here.out is not sys.stdout else None)

    def _say(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._here.say(line)


def _url(pool: BrokerPool, broker: str, path: str, params: Mapping[str, str]) -> str:
    """The address that a menu shows and opens: the one by which the broker is reached from here."""
    return pool.transport.url(pool.brokers.ours(broker), path, params)
