"""The thin shell around the menus: reads lines, performs what a machine asks for through the client library, prints."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from newswire import escape
from newswire.cli import exits, menus, terminal, window
from newswire.cli.children import Children
from newswire.cli.menus import Action, Menu
from newswire.cli.terminal import Terminal
from newswire.core import limits
from newswire.errors import NewswireError, NoBroker

if TYPE_CHECKING:
    from newswire.client import Cluster

Perform = Callable[[Action], None]


def run(menu: Menu, brokers: Sequence[str], ops_dir: Path = Path("ops_logs")) -> int:
    """Run a menu in this process's terminal until it is left. Returns the exit code."""
    here = terminal.standard()
    desk = Desk(here, brokers, Children(ops_dir))
    try:
        loop(menu, here, desk.perform)
    except KeyboardInterrupt:
        here.say("")
    desk.leave()
    return exits.DONE


def loop(menu: Menu, here: Terminal, perform: Perform) -> None:
    """Ask, step, perform, until the menu is left or input ends. An error is a sentence, and the menu goes on."""
    state = menus.START
    while (line := here.ask(menus.prompt(menu, state))) is not None:
        taken = menus.step(menu, state, line)
        state = taken.state
        if taken.text:
            here.say(taken.text)
        if isinstance(taken.action, menus.Exit):
            return
        if isinstance(taken.action, menus.Open):
            loop(taken.action.menu, here, perform)
        elif taken.action:
            _perform(taken.action, here, perform)


def _perform(action: Action, here: Terminal, perform: Perform) -> None:
    try:
        perform(action)
    except NewswireError as error:
        here.say(exits.sentence(error))
    except OSError as error:
        here.say(exits.sentence_of(f"this machine refuses it: {error}"))


class Desk:
    """Performs the actions of all menus. One thread.

    Each action has a client of its own: what an earlier one learned of the brokers is old by the time somebody has typed.
    """

    def __init__(
        self,
        here: Terminal,
        brokers: Sequence[str],
        children: Children,
        open_window: Callable[[str], bool] = window.open_window,
    ) -> None:
        self._here = here
        self._brokers = tuple(brokers)
        self._children = children
        self._open_window = open_window

    def perform(self, action: Action) -> None:
        """Do what a menu asked for. Raises NewswireError."""
        match action:
            case menus.PublishTopic(topic, data):
                self._publish(topic, data)
            case menus.SubscribeUser(username, topic):
                self._subscribe(username, topic)
            case menus.StreamMessages(username):
                self._stream(username)
            case menus.StartBroker():
                self._start(action)
            case menus.StopBroker(broker):
                self._children.stop(broker)
                self._here.say(f"Broker {broker} has stopped.")
            case menus.AddReplica(address):
                self._change("/add_replica", address)
            case menus.RemoveReplica(address):
                self._change("/remove_replica", address)
            case menus.ListReplicas():
                self._list()
            case menus.ShowStatus():
                self._status()

    def leave(self) -> None:
        """Say what goes on without the menu."""
        for broker, process in self._children.running().items():
            self._here.say(
                f"Broker {broker} goes on: process {process}, log {self._children.log(broker)}, stop it with: kill {process}"
            )

    def _publish(self, topic: str, data: str) -> None:
        from newswire.client import Publisher

        with Publisher(self._brokers, timeout=limits.CLI_CALL_SECONDS) as publisher:
            look = publisher.cluster.look()
            self._say(menus.connecting_lines(look.nodes, look.primary, moved=look.moved, always_list=True))
            self._here.say(menus.answer_line(publisher.publish(topic, data).message))

    def _subscribe(self, username: str, topic: str) -> None:
        from newswire.client import Subscriber

        with Subscriber(self._brokers, username, timeout=limits.CLI_CALL_SECONDS) as subscriber:
            look = subscriber.cluster.look()
            self._say(menus.connecting_lines(look.nodes, look.primary, moved=look.moved, always_list=False))
            self._here.say(_url(subscriber.cluster, look.primary, "/subscribe", {"username": username, "topic": topic}))
            self._here.say(menus.answer_line(subscriber.subscribe(topic)))

    def _stream(self, username: str) -> None:
        from newswire.cli import viewing
        from newswire.client import Subscriber

        with Subscriber(self._brokers, username, timeout=limits.CLI_CALL_SECONDS) as subscriber:
            look = subscriber.cluster.look()
            url = _url(subscriber.cluster, look.primary, "/stream", {"username": username})
        self._say(menus.connecting_lines(look.nodes, look.primary, moved=look.moved, always_list=False))
        self._say([url, menus.opening_line(username)])
        if not self._open_window(url):
            viewing.stream_here(self._here, self._brokers, username)

    def _start(self, wanted: menus.StartBroker) -> None:
        self._here.say(f"Starting broker {wanted.id}...")
        self._say([escape.line(line) for line in self._children.start(wanted)])
        address = f"127.0.0.1:{wanted.port}"
        known = (address, *self._brokers) if wanted.primary else (*self._brokers, address)
        self._brokers = tuple(dict.fromkeys(known))

    def _change(self, path: str, address: str) -> None:
        """Ask the primary once: what it answers is final, and no other broker knows better whether `address` is there."""
        from newswire.client.cluster import Cluster
        from newswire.client.transport import Call, Unreached, form

        cluster = Cluster(self._brokers, timeout=limits.CLI_CALL_SECONDS)
        try:
            primary = cluster.look().primary
            call = Call("POST", path, {}, *form({"broker_ip": address}))
            answer = cluster.transport.send(cluster.brokers.ours(primary), call, limits.MENU_CHANGE_SECONDS)
        except Unreached as error:
            raise NoBroker(f"{primary} gave no answer ({error.reason}): list the replicas to see what came of it") from None
        finally:
            cluster.close()
        if answer.status >= 300:
            raise answer.error()
        self._here.say(menus.answer_line(str(answer.json().get("message", ""))))

    def _list(self) -> None:
        from newswire.cli import status

        look = status.look(self._brokers)
        self._say([menus.nodes_line(look.nodes), *(status.row_line(row) for row in look.rows)])

    def _status(self) -> None:
        from newswire.cli import status

        status.show(status.gather(self._brokers), self._here.out if self._here.out is not sys.stdout else None)

    def _say(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._here.say(line)


def _url(cluster: Cluster, broker: str, path: str, params: Mapping[str, str]) -> str:
    """The address that a menu shows and opens: the one by which the broker is reached from here."""
    return cluster.transport.url(cluster.brokers.ours(broker), path, params)
