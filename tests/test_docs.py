"""The examples of README.md and docs/ are run, in order and page by page, against two real brokers.

A block marked `sh` or `python` is run as it stands, with the addresses of brokers on free ports in place of those on the
page. A `text` block behind it is what it has to show: each line, in this order, perhaps among others; `...` stands for
anything. A block with `curl -N` is a stream, which ends when it has shown that. Blocks marked `console` are not run here.
The tutorial starts its own brokers: its blocks are one script.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from brokers import CREDENTIALS, Broker, clean_environment, free_ports, get, post, until, wait_in_sync
from tests.kit.processes import sign_in_as_admin, write_admin_password
from tests.kit.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "deploy" / "README.md", ROOT / "CHANGELOG.md"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)\)")
SECONDS = PATIENCE_SECONDS
ASKING = ("signing-in.md",)  # pages whose brokers ask who one is
TUTORIAL = ROOT / "docs" / "tutorial.md"


@dataclass(frozen=True)
class Example:
    """A block to run and the lines that it has to show."""

    language: str
    text: str
    shown: tuple[str, ...]

    @property
    def is_stream(self) -> bool:
        """Whether it would go on for ever."""
        return "curl -N" in self.text


def examples(page: Path) -> list[Example]:
    """The blocks of a page that are run."""
    blocks = [(found[1], found[2], found.end()) for found in BLOCK.finditer(page.read_text())]
    text = page.read_text()
    made = []
    for at, (language, body, end) in enumerate(blocks):
        if language not in ("sh", "python"):
            continue
        follows = at + 1 < len(blocks) and blocks[at + 1][0] == "text" and text[end:].lstrip().startswith("```text")
        shown = tuple(line for line in blocks[at + 1][1].splitlines() if line.strip()) if follows else ()
        made.append(Example(language, body, shown))
    return made


PAGES_WITH_EXAMPLES = [page for page in PAGES if page != TUTORIAL and examples(page)]


class Machine:
    """Two brokers as on the pages, and a folder to run examples in."""

    def __init__(self, home: Path, *, asks: bool = False) -> None:
        """`asks`: the brokers ask who one is; the first admin's password is in the folder."""
        self.one, self.two, self.three = free_ports(3)
        self.home = home / "examples"
        self.home.mkdir()
        options = ["--config", str(self._settings(home))] if asks else []
        self.brokers = (
            Broker("1001", self.one, home / "brokers", peers=[self.two], primary=True, options=options),
            Broker("1002", self.two, home / "brokers", peers=[self.one], options=options),
        )

    def _settings(self, home: Path) -> Path:
        password = self.home / "admin-password"
        settings = home / "newswire.toml"
        password.write_text("correct horse battery\n")
        settings.write_text(f'auth = "required"\nadmin-password-file = "{password}"\ncluster-secret = "{"s" * 64}"\n')
        for file in (password, settings):
            file.chmod(0o600)
        return settings

    def here(self, text: str) -> str:
        """The text of a page with this machine's ports."""
        for there, port in (("5053", self.one), ("5054", self.two), ("5055", self.three)):
            text = re.sub(rf"(?<=[: ]){there}\b", str(port), text)
        return text

    def start(self, example: Example) -> subprocess.Popen[bytes]:
        """Start an example; all that it prints comes from one pipe."""
        text = self.here(example.text)
        command = ["sh", "-euc", text] if example.language == "sh" else [sys.executable, "-uc", text]
        bin = str(Path(sys.executable).parent)
        environment = clean_environment(
            PATH=f"{bin}{os.pathsep}{os.environ['PATH']}",
            NEWSWIRE_BROKERS=f"127.0.0.1:{self.one},127.0.0.1:{self.two}",
            PYTHONUNBUFFERED="1",
            XDG_CONFIG_HOME=str(self.home / "config"),
            COLUMNS="200",
        )
        return subprocess.Popen(
            command,
            cwd=self.home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@pytest.fixture
def machine(tmp_path: Path, page: Path) -> Iterator[Machine]:
    made = Machine(tmp_path, asks=page.name in ASKING)
    try:
        for broker in made.brokers:
            broker.launch()
        for broker in made.brokers:
            broker.wait_ready()
        if page.name in ASKING:
            until("both hold all", lambda: all(get(one.address, "/readyz")["copies"] == 2 for one in made.brokers), SECONDS)
            until(
                "the first admin is there",
                lambda: "first admin" in "".join(one.last_words(40) for one in made.brokers),
                SECONDS,
            )
        else:
            wait_in_sync(made.brokers)
        yield made
    finally:
        for broker in made.brokers:
            broker.kill9()


def missing(shown: tuple[str, ...], output: str) -> str | None:
    """The first of the lines that `output` does not have, in this order."""
    lines = iter(output.splitlines())
    for wanted in shown:
        pattern = ".*".join(re.escape(part) for part in wanted.split("..."))
        if not any(re.search(pattern, line) for line in lines):
            return wanted
    return None


def read_on(process: subprocess.Popen[bytes], seconds: float) -> bytes:
    """What a process has printed next; b"" at its end. Raises TimeoutError."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], max(0.0, seconds))[0]:
        raise TimeoutError
    return os.read(process.stdout.fileno(), 65_536)


def run(machine: Machine, example: Example) -> str:
    """Run an example to its end, a stream until it has shown what it has to; what it printed."""
    shown = tuple(machine.here(line) for line in example.shown)
    process = machine.start(example)
    output = b""
    limit = time.monotonic() + SECONDS
    try:
        while received := read_on(process, limit - time.monotonic()):
            output += received
            if example.is_stream and shown and missing(shown, output.decode()) is None:
                return output.decode()
        assert process.wait(SECONDS) == 0, output.decode()
    except TimeoutError:
        pytest.fail(f"not within {SECONDS:g} s: {machine.here(example.text)}\nit printed: {output.decode()}")
    finally:
        end_group(process)
    return output.decode()


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End an example and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES_WITH_EXAMPLES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_examples(page: Path, machine: Machine) -> None:
    for example in examples(page):
        output = run(machine, example)
        line = missing(tuple(machine.here(wanted) for wanted in example.shown), output)
        assert line is None, f"{page.name}: {example.text}\nshould show: {line}\nand shows: {output}"


@pytest.mark.timeout(600)
def test_the_tutorial(tmp_path: Path) -> None:
    parts = examples(TUTORIAL)
    script = Example("sh", "".join(part.text for part in parts), tuple(line for part in parts for line in part.shown))
    machine = Machine(tmp_path)
    output = run(machine, script)
    line = missing(tuple(machine.here(wanted) for wanted in script.shown), output)
    assert line is None, f"should show: {line}\nand shows: {output}"


@pytest.mark.timeout(600)
def test_the_two_brokers_of_the_readme(tmp_path: Path) -> None:
    """The two command lines for two machines, with two loopback ports in place of the machines."""
    one, two = free_ports(2)
    text = (ROOT / "README.md").read_text()
    lines = re.findall(r"^\w+\$ +newswire (broker .*)$", text, re.MULTILINE)
    assert len(lines) == 2
    commands = []
    for line, port in zip(lines, (one, two), strict=True):
        for there, here in (("10.0.0.11:5053", one), ("10.0.0.12:5053", two)):
            line = line.replace(there, f"127.0.0.1:{here}")
        line = re.sub(r"--host \S+", "--host 127.0.0.1", line)
        commands.append(re.sub(r"--port \S+", f"--port {port}", line).split())
    write_admin_password(tmp_path)
    brokers: list[Broker] = []
    try:
        for command, port in zip(commands, (one, two), strict=True):
            broker = AsWritten(command, port, tmp_path)
            broker.launch()
            brokers.append(broker)
        for broker in brokers:
            broker.wait_ready()
        sign_in_as_admin(brokers)
        wait_in_sync(brokers)
        said = {"topic": "news", "data": "Hello", "key": "hello"}
        until("it has two copies", lambda: post(brokers[0].address, "/publish", **said)["copies"] == 2)
    finally:
        CREDENTIALS.clear()
        for broker in brokers:
            broker.kill9()


class AsWritten(Broker):
    """A broker started by the words of a page."""

    def __init__(self, words: list[str], port: int, home: Path) -> None:
        super().__init__(words[words.index("--id") + 1], port, home)
        self.words = words

    def command(self) -> list[str]:
        """What the page says."""
        return [sys.executable, "-m", "newswire", *self.words, "--ops-dir", str(self.ops_dir)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


@pytest.mark.parametrize("page", PAGES_WITH_EXAMPLES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_streams_say_what_they_show(page: Path) -> None:
    """A stream that is to show nothing would end by its time limit alone."""
    for example in examples(page):
        assert example.shown or not example.is_stream, example.text


def test_commands_on_the_pages_exist() -> None:
    from newswire.cli.main import newswire

    for page in PAGES:
        for found in re.finditer(r"`newswire ([a-z-]+)", page.read_text()):
            assert found[1] in newswire.commands, f"{page.name} speaks of `newswire {found[1]}`"


def test_the_exit_codes_are_those_of_the_program() -> None:
    from newswire.cli import output

    text = (ROOT / "docs" / "command-line.md").read_text()
    rows = {int(code): meaning for code, meaning in re.findall(r"^\| (\d+) \| ([^|]*) \|", text, re.MULTILINE)}
    assert rows == output.MEANINGS


def test_every_variable_is_on_the_page_and_no_other() -> None:
    from newswire.cli.main import newswire
    from newswire.cli.options import known_settings

    text = (ROOT / "docs" / "command-line.md").read_text()
    table = "\n".join(line for line in text.splitlines() if line.startswith("| `NEWSWIRE_"))
    settings = known_settings(newswire).values()
    assert set(re.findall(r"NEWSWIRE_[A-Z_]+", table)) == {str(s.envvar) for s in settings} | {
        "NEWSWIRE_SECONDARY",
        "NEWSWIRE_CLUSTER_SECRET_FILE",
        "NEWSWIRE_ADMIN_PASSWORD_FILE",
        "NEWSWIRE_TOKEN_FILE",
    }


def test_routes_on_the_pages_exist() -> None:
    from newswire.config import Settings
    from newswire.engine.memory import MemoryEngine
    from newswire.web import create_app
    from tests.kit.web_fakes import FakeCluster

    app = create_app(MemoryEngine(), Settings(), cluster=FakeCluster())
    known = {rule.rule for rule in app.url_map.iter_rules()}
    for page in PAGES:
        for found in re.finditer(r"`(?:GET|POST|DELETE) (/[\w/<>]*(?:\.json)?)", page.read_text()):
            assert found[1] in known, f"{page.name} speaks of {found[0]}"
