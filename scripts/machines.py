"""deploy/install.sh on two fresh Debian machines: containers with a systemd each (debootstrap, systemd-nspawn).

    scripts/machines                        everything; as root on Debian, with a package mirror; some minutes
    scripts/machines --release v0.1.0       what is upgraded from [the last tag]
    scripts/machines --folder DIR           where the roots are made; the first one stays there for the next time

What is tried: installing the release on both, and once more, which changes nothing; an upgrade to this version, one machine
after the other, under load, with nothing lost and no second without a broker that is ready; an upgrade to a version that does
not start, which goes back by itself; an upgrade while another broker is down, which is refused; the second machine's end;
removal; and a new start with `--auth required`, for which a password is made. The machines share this one's network, so they
differ in their ports.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from brokers import Failed, ask, free_ports, get, until
from newswire.client import Publisher
from newswire.errors import Unauthenticated
from rolling import Load
from upgrade import ROOT, last_tag

BOOT_SECONDS: Final = 60.0
PACKAGES: Final = ("systemd", "systemd-sysv", "dbus")  # Python is what install.sh installs
MODES: Final = {
    "/etc/newswire/cluster-secret": "600 root",
    "/etc/newswire/newswire.toml": "644 root",
    "/var/lib/newswire": "700 newswire",
}


def run(*command: str | Path, **more: str) -> str:
    """What a command prints. Raises Failed with its output when it fails."""
    environment = os.environ | more
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-3_000:]}")
    return done.stdout


class Machine:
    """A container with a systemd of its own, and a broker of which install.sh takes care."""

    def __init__(self, root: Path, wheels: Path, id: str, port: int) -> None:
        self.root, self.wheels, self.id, self.port = root, wheels, id, port
        self.address = f"127.0.0.1:{port}"
        self._nspawn: subprocess.Popen[bytes] | None = None

    def boot(self) -> None:
        """Start it and wait until its systemd is up."""
        command = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--directory={self.root}", "--boot"]
        binds = [f"--bind-ro={ROOT}:/source", f"--bind-ro={self.wheels}:/wheels"]
        with open(self.root.with_suffix(".log"), "wb") as log:
            self._nspawn = subprocess.Popen([*command, *binds], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def is_up() -> bool:
            with contextlib.suppress(Failed, OSError):
                return "running" in self.sh("systemctl is-system-running || true") or "degraded" in self.sh(
                    "systemctl is-system-running || true"
                )
            return False

        until(f"the systemd of {self.root.name} is up", is_up, BOOT_SECONDS)

    def sh(self, script: str) -> str:
        """What a shell in it prints. Raises Failed when it fails."""
        assert self._nspawn is not None
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        if not children:
            raise Failed(f"{self.root.name} does not run")
        inside = ["nsenter", f"--target={children[0]}", "--mount", "--uts", "--ipc", "--pid", "--root"]
        return run(*inside, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "sh", "-euc", f"cd / && {script}")

    def install_sh(self, arguments: str) -> str:
        """Run install.sh with what is in /wheels."""
        return self.sh(f"sh /source/deploy/install.sh {arguments}")

    def facts(self) -> str:
        """All files that install.sh makes, with their times, and the process: the same twice is nothing done."""
        return self.sh(
            "find /etc/newswire /etc/systemd/system /opt/newswire /usr/local/bin -printf '%p %T@ %m %u %l\\n' | sort;"
            " systemctl show newswire -p MainPID"
        )

    def end(self) -> None:
        """Switch it off."""
        if self._nspawn is not None:
            with contextlib.suppress(Failed, OSError):
                self.sh("systemctl poweroff --no-block || true")
            try:
                self._nspawn.wait(30)
            except subprocess.TimeoutExpired:
                self._nspawn.send_signal(signal.SIGKILL)
                self._nspawn.wait()
            self._nspawn = None


def main() -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--release", help="a tag of this repository [the last one]")
    parser.add_argument(
        "--folder", type=Path, default=Path("/var/tmp/newswire-machines"), help="where roots are made [%(default)s]"
    )
    options = parser.parse_args()
    missing = [program for program in ("debootstrap", "systemd-nspawn", "nsenter") if shutil.which(program) is None]
    if missing or os.geteuid() != 0:
        sys.exit(
            f"This needs root, and {', '.join(missing) or 'nothing else'} (apt-get install debootstrap systemd-container)."
        )
    try:
        with machines(options.folder, options.release or last_tag()) as (first, second, wheels):
            go_through(first, second, wheels)
    except Failed as error:
        print(f"FAILED: {error}")
        return 1
    print("all as it should be")
    return 0


@contextlib.contextmanager
def machines(folder: Path, tag: str) -> Iterator[tuple[Machine, Machine, dict[str, str]]]:
    """Two fresh machines that run, and the wheels that they can install, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / "base"
    if not (folder / "base.complete").exists():
        print("Making a Debian root (a minute) ...", flush=True)
        shutil.rmtree(base, ignore_errors=True)
        release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
        suite = release["VERSION_CODENAME"]  # this machine's own: the wheels that it fetches fit
        run("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", suite, base)
        (folder / "base.complete").touch()
    wheels = folder / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    wheels.mkdir()
    names = make_wheels(wheels, tag)
    one, two = free_ports(2)
    pair = Machine(folder / "one", wheels, "1001", one), Machine(folder / "two", wheels, "1002", two)
    try:
        for machine in pair:
            shutil.rmtree(machine.root, ignore_errors=True)
            run("cp", "-a", "--reflink=auto", base, machine.root)
            machine.boot()
        yield *pair, names
    finally:
        for machine in pair:
            machine.end()
            shutil.rmtree(machine.root, ignore_errors=True)


def make_wheels(wheels: Path, tag: str) -> dict[str, str]:
    """Wheels of the release, of this version and of one that does not start, and of all that they need."""
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    names = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, tree in (("release", tag), ("this", "HEAD")):
            source = Path(folder) / name
            source.mkdir()
            archive = subprocess.run(["git", "archive", tree], cwd=ROOT, stdout=subprocess.PIPE, check=True)
            subprocess.run(["tar", "-x", "-C", source], input=archive.stdout, check=True)
            made = Path(folder) / f"{name}-wheel"
            run(*pip, "wheel", "--no-deps", "--wheel-dir", made, source)
            (wheel,) = made.iterdir()
            (wheels / name).mkdir()
            shutil.move(wheel, wheels / name / wheel.name)
            names[name] = f"/wheels/{name}/{wheel.name}"
    run(
        *pip,
        "download",
        "--dest",
        wheels,
        "--requirement",
        ROOT / "deploy" / "constraints.txt",
        "--no-deps",
        "--only-binary=:all:",
    )
    names["broken"] = f"/wheels/broken/{make_broken_wheel(wheels / 'broken').name}"
    return names


def make_broken_wheel(folder: Path) -> Path:
    """A wheel of a newswire whose broker ends at once."""
    folder.mkdir()
    wheel = folder / "newswire-9.9.9-py3-none-any.whl"
    info = "newswire-9.9.9.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        program = "import sys\ndef main():\n    print('newswire 9.9.9') if '--version' in sys.argv else sys.exit(1)\n"
        archive.writestr("newswire_broken.py", program)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: newswire\nVersion: 9.9.9\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: machines\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/entry_points.txt", "[console_scripts]\nnewswire = newswire_broken:main\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def go_through(first: Machine, second: Machine, wheels: dict[str, str]) -> None:
    """Everything, step by step. Raises Failed."""
    release, this = (f"--package {wheels[name]} --wheels /wheels" for name in ("release", "this"))
    where = "--host 127.0.0.1 --auth none"
    commands = {
        first: f"install --id 1001 --primary {where} --port {first.port} --advertise {first.address} {release}",
        second: f"install --id 1002 {where} --port {second.port} --advertise {second.address} --peer {first.address}"
        f" --secret-file /root/cluster-secret {release}",
    }
    for machine, command in commands.items():
        if machine is second:
            shutil.copy(first.root / "etc/newswire/cluster-secret", second.root / "root/cluster-secret")
        print(f"{machine.id}: {machine.install_sh(command)}", flush=True)
        before = machine.facts()
        machine.install_sh(command)
        changes = sorted(set(machine.facts().splitlines()) ^ set(before.splitlines()))
        expect(not changes, f"a second install on {machine.id} changes nothing: {changes[:6]}")
        for file, facts in MODES.items():
            expect(machine.sh(f"stat -c '%a %U' {file}").strip() == facts, f"{file} is {facts}")
        pid = machine.sh("systemctl show newswire -p MainPID --value").strip()
        expect(machine.sh(f"stat -c %U /proc/{pid}").strip() == "newswire", f"the broker of {machine.id} is not root's")
        machine.sh("systemd-analyze verify --man=no newswire.service && systemctl is-enabled newswire")
        exposure = machine.sh("systemd-analyze security newswire.service --no-pager | tail -n 1").strip()
        print(f"{machine.id}: {exposure}", flush=True)
    wait_whole(first, second)

    with Load([first.address, second.address]) as load:
        load.wait_more(200)
        for machine in (second, first):
            print(f"{machine.id}: {machine.install_sh(f'upgrade {this}').strip()}", flush=True)
            load.wait_more(200)
        expect("in use already" in first.install_sh(f"upgrade {this}"), "another upgrade to the same has nothing to do")
        version = get(first.address, "/readyz")["version"]
        broken = f"upgrade --package {wheels['broken']} --wheels /wheels --wait 10"
        said = until_fails(second, broken)
        expect("the release before runs again" in said, f"an upgrade to what does not start goes back: {said}")
        wait_whole(first, second)
        expect(get(second.address, "/readyz")["version"] == version, "and runs as before")
        second.sh("systemctl stop newswire")
        said = until_fails(first, broken)
        expect("another one is down" in said, f"nothing is upgraded while another broker is down: {said}")
        second.sh("systemctl start newswire")
        wait_whole(first, second)
        load.wait_more(200)
    for name, value in load.check().items():
        print(f"  {name}: {value}")

    second.end()  # the machine dies
    expect(ask(first.address, "POST", "/publish", {"topic": "rolling", "data": "alone"}).status == 200, "the other one goes on")
    first.install_sh("remove")
    first.install_sh("remove")
    left = first.sh("ls -d /etc/newswire /var/lib/newswire /opt/newswire /usr/local/bin/newswire 2> /dev/null || true").split()
    expect(left == ["/etc/newswire", "/var/lib/newswire"], f"settings and messages stay when it is removed: {left}")
    first.install_sh("remove --purge")
    expect(first.sh("ls /etc/newswire 2>&1 || true; getent passwd newswire || true").count("newswire:") <= 1, "nothing stays")

    first.install_sh(f"install --primary --host 127.0.0.1 --port {first.port} --advertise {first.address} {this}")
    password = (first.root / "etc/newswire/admin-password").read_text().strip()
    expect(ask(first.address, "GET", "/topics").status == 401, "everybody is asked who he is")

    def is_taken() -> bool:  # the admin is made when the broker serves: a moment later
        with Publisher(first.address, user="admin", password=password) as publisher, contextlib.suppress(Unauthenticated):
            return bool(publisher.publish("news", "hello").id)
        return False

    until("the password of the first admin is good", is_taken)
    print("1001: begun anew with --auth required, and its admin has published", flush=True)


def expect(fact: bool, words: str) -> None:
    """Raise Failed with `words` unless it is so."""
    if not fact:
        raise Failed(f"not so: {words}")


def until_fails(machine: Machine, arguments: str) -> str:
    """What install.sh says when it ends with a failure. Raises Failed when it does not fail."""
    try:
        machine.install_sh(arguments)
    except Failed as error:
        return str(error)
    raise Failed(f"install.sh {arguments} did not fail")


def wait_whole(*all_machines: Machine) -> None:
    """Wait until each broker says that a publish gets as many copies as there are machines."""

    def is_whole() -> bool:
        with contextlib.suppress(OSError):
            return all(get(one.address, "/readyz")["copies"] == len(all_machines) for one in all_machines)
        return False

    until("every broker has all that the others have", is_whole, 60.0)


if __name__ == "__main__":
    sys.exit(main())
