"""Two brokers on this machine, and the cases I to III (docs/architecture.md, The problem) played with them.

scripts/demo           starts brokers 1001 and 1002 (127.0.0.1:5053 and :5054) and leaves them running; the first time, on an
                       empty folder, it plays. What they hold stays: started again they go on with it
scripts/demo --fresh   ends them, deletes what they hold, and plays from the start
scripts/demo --port N  takes the ports N and N + 1
scripts/demo --stop    ends them
scripts/demo --once    takes free ports and a folder of its own, plays, ends and removes all: for trying whether all works here

Whatever is shown is also checked: if something is not as promised it says what, and ends with status 1. State, logs and
process numbers lie in .demo/; only processes that are brokers of that folder are ever ended.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from brokers import Broker, Failed, Stream, free_ports, get, is_free, post, rows, until, wait_in_sync
from newswire.cli import output

ROOT: Final = Path(__file__).resolve().parent.parent
HOME: Final = ROOT / ".demo"
STATE: Final = HOME / "brokers"
PORTS: Final = (5053, 5054)  # those on the pages of docs/
STOP_SECONDS: Final = 15.0


def main() -> int:
    """Run what the command line asks for; the exit status."""
    output.install()  # a reader that leaves, or a full disk, ends no broker
    asked = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        if asked.stop:
            return stop()
        return once(asked.port) if asked.once else stay(asked.port, fresh=asked.fresh)
    except Failed as failed:
        print(f"\nNot as promised: {failed}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"\nThis machine refuses it: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; what this run had started is ended.", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """What the command line may say."""
    made = argparse.ArgumentParser(prog="scripts/demo", description="Two newswire brokers on this machine, and what they do.")
    which = made.add_mutually_exclusive_group()
    which.add_argument("--stop", action="store_true", help="end the brokers that an earlier run left running")
    which.add_argument("--fresh", action="store_true", help="delete what an earlier run left, and play from the start")
    which.add_argument("--once", action="store_true", help="play on free ports, then end the brokers and remove all")
    made.add_argument("--port", type=a_port, metavar="N", help="take the ports N and N + 1 (default: 5053 and 5054)")
    return made


def a_port(text: str) -> int:
    """The first of two ports. Raises what argparse shows as a sentence."""
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65535):
        raise argparse.ArgumentTypeError("a number from 1 to 65534: the second broker takes the next one")
    return int(text)


# -- the three ways to run it -------------------------------------------------------------------------------------


def once(port: int | None) -> int:
    """Play in a folder that is removed afterwards, on free ports unless one is named."""
    ports = (port, port + 1) if port else tuple(free_ports(2))
    if taken(ports):
        return 1
    with tempfile.TemporaryDirectory(prefix="newswire-demo-") as folder:
        pair = make_pair(Path(folder), *ports)
        with ended_at_the_end(pair):
            play(*pair)
    say("\nBoth brokers are ended and their folder is removed.")
    return 0


def stay(port: int | None, *, fresh: bool) -> int:
    """Leave both brokers running; play if there is nothing yet, or all is to begin anew."""
    with the_only_one():
        if fresh:
            end_both()
        pair = make_pair(STATE, *noted_ports())
        if any(running(b) for b in pair):
            if port and port != pair[0].port:
                both = " and ".join(broker.address for broker in pair)
                print(f"The brokers run at {both}: `scripts/demo --stop` first.", file=sys.stderr)
                return 1
            return again(pair)
        ports = (port, port + 1) if port else PORTS
        if taken(ports):
            return 1
        if fresh:
            shutil.rmtree(STATE, ignore_errors=True)
        pair = make_pair(STATE, *ports)
        note_ports(ports)
        if holds_anything(pair):
            return go_on(pair)
        with ended_on_error(pair):
            play(*pair)
        closing(*pair)
    return 0


def taken(ports: tuple[int, ...]) -> bool:
    """Say so if another program has one of the ports."""
    for port in ports:
        if not is_free(port):
            other = next((n for n in range(6053, 10_000, 1000) if is_free(n) and is_free(n + 1)), 20_053)
            hint = (
                f"end that, choose others (`scripts/demo --port {other}`), or run `scripts/demo --once`, which takes free ones"
            )
            print(f"Port {port} is taken by another program: {hint}.", file=sys.stderr)
            return True
    return False


def holds_anything(pair: tuple[Broker, Broker]) -> bool:
    """Say whether an earlier run left anything to keep."""
    return any((broker.ops_dir / broker.id).exists() for broker in pair)


def go_on(pair: tuple[Broker, Broker]) -> int:
    """Start both on what they held."""
    first, second = pair
    with ended_on_error(pair):
        title("Two brokers on this machine")
        start_pair(first, second)
    held = sum(topic["messages"] for topic in get(first.address, "/topics"))
    say(f"\nThey hold what an earlier run left: {held:,} messages. `scripts/demo --fresh` deletes that and plays anew.")
    closing(first, second)
    return 0


def again(pair: tuple[Broker, Broker]) -> int:
    """Say that the brokers run; start one that is missing."""
    missing = [b for b in pair if not running(b)]
    with ended_on_error(missing):
        for broker in missing:
            start(broker)
            say(f"Broker {broker.id} was not running: started again, with all that it held.")
    closing(*pair, head="Both brokers run since an earlier `scripts/demo`.")
    return 0


def stop() -> int:
    """End what runs from this folder."""
    ended = end_both()
    say(f"Ended: broker {' and broker '.join(ended)}." if ended else "No broker of this demo is running.")
    return 0


def end_both() -> list[str]:
    """End what runs from this folder; the ids of those that ran."""
    return [broker.id for broker in make_pair(STATE, *PORTS) if end(broker)]


# -- the play -----------------------------------------------------------------------------------------------------


def play(first: Broker, second: Broker) -> None:
    """Cases I to III, each step shown and checked."""
    both = [first.address, second.address]
    title("Two brokers on this machine")
    start_pair(first, second)

    title("Both are up")
    subscribe(first, "Alice", "Google")
    subscribe(first, "Bob", "Google")
    subscribe(first, "Bob", "Meta")
    with Stream("Alice", both) as alice, Stream("Bob", both) as bob:
        alice.wait_open(first.address)
        bob.wait_open(first.address)
        publish(first, "Google", "Hello Google", copies=2)
        publish(first, "Meta", "Hiring Meta", copies=2)
        publish(first, "Meta", "Social Event", copies=2)
        received(alice, "Hello Google")
        received(bob, "Hello Google", "Hiring Meta", "Social Event")

        title(f"The primary is switched off (kill -9 of broker {first.id})")
        first.kill9()
        publish(second, "Google", "Family Event", copies=1)
        publish(second, "Google", "Employee", copies=1)
        received(alice, "Family Event", "Employee")
        received(bob, "Family Event", "Employee")
        subscribe(second, "Carlos", "Tiktok")
        publish(second, "Tiktok", "Hi Tiktok", copies=1)
        with Stream("Carlos", [second.address]) as carlos:
            received(carlos, "Hi Tiktok")

        title("The primary comes back")
        bring_back(first, second)
        with Stream("Carlos", both) as carlos:
            carlos.wait_open(first.address)
            publish(first, "Tiktok", "Hi Online", copies=2)
            received(carlos, "Hi Online")
    say("  Nobody registered again, nothing was lost, and nothing came twice.")


def start_pair(first: Broker, second: Broker) -> None:
    """Start both and wait until each sees the other."""
    began = time.monotonic()
    launch(second)
    launch(first)
    first.wait_ready()
    second.wait_ready()
    wait_in_sync((first, second))
    row("broker " + first.id, first.address, "the primary: clients go here first")
    row("broker " + second.id, second.address, f"the secondary; both ready after {time.monotonic() - began:.1f} s")


def subscribe(broker: Broker, user: str, topic: str) -> None:
    """Subscribe and show the answer."""
    answer = post(broker.address, "/subscribe", username=user, topic=topic)
    row("POST /subscribe", broker.address, answer["message"])


def publish(broker: Broker, topic: str, data: str, *, copies: int) -> None:
    """Publish, show the answer, and check on how many disks it is."""
    answer = post(broker.address, "/publish", topic=topic, data=data)
    if answer["copies"] != copies:
        raise Failed(f"{answer['message']}: it should be on {copies} disks and is on {answer['copies']}")
    row("POST /publish", broker.address, f"{answer['message']}  (on {copies} disk{'s' if copies != 1 else ''})")


def received(stream: Stream, *texts: str) -> None:
    """Wait for these texts, show them, and check that nothing came twice."""
    stream.wait_texts(*texts)
    if len(set(stream.texts)) != len(stream.texts):
        raise Failed(f"{stream.user} got something twice: {stream.texts}")
    row(f"{stream.user}'s stream", stream.at, ", ".join(texts))


def bring_back(first: Broker, second: Broker) -> None:
    """Start the primary again; when the others send clients to it, it holds all that it missed."""
    launch(first)
    first.wait_ready()
    until("the primary is up again", lambda: primary_again(first, second))
    topics = {t["topic"]: t["messages"] for t in get(first.address, "/topics")}
    if topics != {t["topic"]: t["messages"] for t in get(second.address, "/topics")}:
        raise Failed(f"the primary is back without all messages: {topics}")
    if [s["topic"] for s in get(first.address, "/subscriptions", username="Carlos")] != ["Tiktok"]:
        raise Failed("the primary is back without Carlos's subscription")
    row("GET /topics", first.address, "it has what it missed: " + ", ".join(f"{t} {n}" for t, n in sorted(topics.items())))
    row("GET /subscriptions", first.address, "Carlos, subscribed while it was down: Tiktok")


def primary_again(first: Broker, second: Broker) -> bool:
    """Say whether the secondary sends clients to the primary again."""
    seen = rows(second.address).get(first.id, {})
    return bool(seen.get("is_primary")) and seen.get("state") == "up"


def closing(first: Broker, second: Broker, head: str = "Both brokers go on running.") -> None:
    """Say what to open and type next."""
    page = f"http://{first.address}/stream?username=Alice"
    where = "" if (first.port, second.port) == PORTS else f" --brokers {first.address},{second.address}"
    kill = f"kill -9 {pid_of(first)}"
    status, menu = (f".venv/bin/newswire {name}{where}" for name in ("status", "menu"))
    again = "scripts/demo" if (first.port, second.port) == PORTS else f"scripts/demo --port {first.port}"
    wide = max(len(status), 48) + 2
    say(f"""
{head} To go on:

  open   {page:<{wide}} Alice's page, in a browser
  type   curl -d topic=Google -d 'data=Hello again' http://{first.address}/publish
         curl -N 'http://{first.address}/stream?username=Bob'
         {status:<{wide}} who is there
         {menu:<{wide}} all of it by menu
         {kill:<{wide}} the primary dies: publish at {second.address}, and go on
         {again:<{wide}} starts what is missing
  end    {"scripts/demo --stop":<{wide}} (logs: {HOME.name}/brokers/)""")


# -- output -------------------------------------------------------------------------------------------------------


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


def title(text: str) -> None:
    """A heading, bold on a terminal."""
    bold = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" and "NO_COLOR" not in os.environ
    say(f"\n\033[1m{text}\033[0m" if bold else f"\n{text}")


def row(what: str, where: str, text: str) -> None:
    """One thing that happened: what was asked, of which broker, what came."""
    say(f"  {what:<19} {where:<16} {text}")


# -- processes ----------------------------------------------------------------------------------------------------


def make_pair(home: Path, one: int, two: int) -> tuple[Broker, Broker]:
    """The two brokers."""
    return Broker("1001", one, home, peers=[two], primary=True), Broker("1002", two, home, peers=[one])


def launch(broker: Broker) -> None:
    """Start a broker that outlives this run, and note its process number."""
    broker.launch(own_session=True)
    assert broker.process is not None
    pid_file(broker).write_text(f"{broker.process.pid}\n")


def start(broker: Broker) -> None:
    """Start and wait until it is ready."""
    launch(broker)
    broker.wait_ready()


def note_ports(ports: tuple[int, ...]) -> None:
    """Write down where the brokers listen, for the next run."""
    STATE.mkdir(parents=True, exist_ok=True)
    (STATE / "ports").write_text(" ".join(map(str, ports)) + "\n")


def noted_ports() -> tuple[int, int]:
    """Where the brokers of the last run listen."""
    try:
        first, second = map(int, (STATE / "ports").read_text().split())
    except (OSError, ValueError):
        return PORTS
    return first, second


def pid_file(broker: Broker) -> Path:
    """Where the process number stands."""
    return broker.home / f"{broker.id}.pid"


def pid_of(broker: Broker) -> int:
    """The process number that was noted, 0 if none."""
    try:
        return int(pid_file(broker).read_text())
    except (OSError, ValueError):
        return 0


def running(broker: Broker) -> bool:
    """Say whether the noted process lives and is this broker: process numbers are given out again."""
    pid = pid_of(broker)
    command = command_of(pid) if pid else ""
    return f"--id {broker.id} " in command and f"--ops-dir {broker.ops_dir} " in command


def command_of(pid: int) -> str:
    """A process's command line, "" if there is no such process."""
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" "))
    except OSError:
        if Path("/proc/self").exists():
            return ""
    return subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout


def end(broker: Broker) -> bool:
    """End this broker if it runs: SIGTERM, and SIGKILL if that is not enough. Says whether it ran."""
    if broker.process is not None:
        broker.stop(STOP_SECONDS)
        return True
    if not running(broker):
        return False
    os.kill(pid_of(broker), signal.SIGTERM)
    try:
        until("", lambda: not running(broker), STOP_SECONDS)
    except Failed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid_of(broker), signal.SIGKILL)
    pid_file(broker).unlink(missing_ok=True)
    return True


@contextlib.contextmanager
def ended_on_error(brokers: list[Broker] | tuple[Broker, ...]) -> Iterator[None]:
    """End what this run started when it does not get through."""
    try:
        yield
    except BaseException:
        end_all(brokers)
        raise


@contextlib.contextmanager
def ended_at_the_end(brokers: tuple[Broker, ...]) -> Iterator[None]:
    """End what this run started, however it goes."""
    try:
        yield
    finally:
        end_all(brokers)


def end_all(brokers: list[Broker] | tuple[Broker, ...]) -> None:
    """End each that this run started, also when another would not end."""
    for broker in brokers:
        if broker.process is not None:
            with contextlib.suppress(Failed):
                end(broker)


@contextlib.contextmanager
def the_only_one() -> Iterator[None]:
    """Keep a second run out while this one starts brokers."""
    HOME.mkdir(exist_ok=True)
    with open(HOME / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Failed("another `scripts/demo` is playing in this folder: wait until it is done") from None
        yield


if __name__ == "__main__":
    sys.exit(main())
