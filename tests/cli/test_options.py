"""Where values come from: flag, environment, file, default; secrets; and what a broker refuses to start with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from newswire.cli import main, options
from newswire.cli.commands import broker
from newswire.config import Settings
from tests.kit.authority import Authority

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Settings]:
    """Run `newswire broker` up to its settings: in an empty folder, with the given environment and file."""
    taken: list[Settings] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, "PLACES", (Path("newswire.toml"),))
    monkeypatch.setattr(options.find_file, "__defaults__", ((Path("newswire.toml"),),))
    monkeypatch.setattr(broker, "run", lambda made, log, menu: taken.append(made))

    def run(*flags: str, file: str | None = None, **environment: str) -> Settings:
        for name, value in environment.items():
            monkeypatch.setenv(f"NEWSWIRE_{name}", value)
        if file is not None:
            (tmp_path / "newswire.toml").write_text(file)
            (tmp_path / "newswire.toml").chmod(0o600)
        main.newswire.main(["broker", *flags], standalone_mode=False)
        return taken[-1]

    return run


def test_defaults_are_those_of_the_settings(settings: Callable[..., Settings]) -> None:
    assert settings() == Settings()


def test_flag_beats_environment_beats_file_beats_default(settings: Callable[..., Settings]) -> None:
    file = "port = 1\nid = 'file'\nheartbeat = 1\n"
    made = settings("--port", "3", file=file, PORT="2", ID="env")
    assert (made.port, made.id, made.heartbeat, made.host) == (3, "env", 1.0, "127.0.0.1")


@pytest.mark.parametrize(
    ("flags", "environment", "field", "value"),
    [
        (["--id", "7"], {"ID": "7"}, "id", "7"),
        (["--host", "localhost"], {"HOST": "localhost"}, "host", "localhost"),
        (["--port", "0"], {"PORT": "0"}, "port", 0),
        (["--advertise", "localhost:5053"], {"ADVERTISE": "localhost:5053"}, "advertise", "localhost:5053"),
        (["--advertise", "https://LocalHost:443"], {"ADVERTISE": "https://localhost"}, "advertise", "https://localhost"),
        (["--primary"], {"PRIMARY": "1"}, "primary", True),
        (["--primary"], {"SECONDARY": "no"}, "primary", True),
        (["--secondary"], {"SECONDARY": "true"}, "primary", False),
        (["--peer", "[::1]:1", "--peer", "127.0.0.1:2"], {"PEER": "[::1]:1, 127.0.0.1:2"}, "peers", ("[::1]:1", "127.0.0.1:2")),
        (["--ops-dir", "x"], {"OPS_DIR": "x"}, "ops_dir", Path("x")),
        (["--heartbeat", "0.5"], {"HEARTBEAT": "0.5"}, "heartbeat", 0.5),
        (["--auth", "none"], {"AUTH": "none"}, "auth", "none"),
        (["--insecure"], {"INSECURE": "1"}, "insecure", True),
        (["--trust-clock"], {"TRUST_CLOCK": "1"}, "trust_clock", True),
        (["--min-copies", "2"], {"MIN_COPIES": "2"}, "min_copies", 2),
        (["--threads", "8"], {"THREADS": "8"}, "threads", 8),
        (["--retention-days", "1.5"], {"RETENTION_DAYS": "1.5"}, "retention_seconds", 1.5 * 86_400),
        (["--away-days", "0.5"], {"AWAY_DAYS": "0.5"}, "away_seconds", 43_200),
        (["--retention-messages", "9"], {"RETENTION_MESSAGES": "9"}, "retention_messages", 9),
        (["--disk-reserve", "9000"], {"DISK_RESERVE": "9000"}, "disk_reserve", 9000),
        (["--compress-segments"], {"COMPRESS_SEGMENTS": "1"}, "compress_segments", True),
        (["--retention-bytes", "9000"], {"RETENTION_BYTES": "9000"}, "retention_bytes", 9000),
        (["--streams-per-user", "9"], {"STREAMS_PER_USER": "9"}, "streams_per_user", 9),
        (["--streams", "9"], {"STREAMS": "9"}, "streams", 9),
        (["--subscriptions-per-user", "9"], {"SUBSCRIPTIONS_PER_USER": "9"}, "subscriptions_per_user", 9),
        (["--connections", "99"], {"CONNECTIONS": "99"}, "connections", 99),
    ],
)
def test_every_option_is_a_flag_and_a_variable(
    settings: Callable[..., Settings], flags: list[str], environment: dict[str, str], field: str, value: Any
) -> None:
    assert getattr(settings(*flags), field) == value
    assert getattr(settings(**environment), field) == value


def test_the_file_holds_the_same_names(settings: Callable[..., Settings]) -> None:
    made = settings(
        file="""
        id = 1002
        port = 5054
        peer = ["a:1", "b:2"]
        cluster-secret = "0123456789abcdef0123456789abcdef"
        primary = true
        ops-dir = "there"
        min_copies = 2
        retention-days = 2
        brokers = "a:1,b:2"
        """
    )
    wanted = ("1002", 5054, ("a:1", "b:2"), True, Path("there"), 2, 172_800.0)
    assert (made.id, made.port, made.peers, made.primary, made.ops_dir, made.min_copies, made.retention_seconds) == wanted


def test_secondary_and_one_peer_in_the_file(settings: Callable[..., Settings]) -> None:
    made = settings(file="secondary = false\npeer = 'a:1,b:2'\n", CLUSTER_SECRET=SECRET)
    assert made.primary
    assert made.peers == ("a:1", "b:2")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("prot = 5053", "newswire.toml: there is no option `prot`, did you mean `port`?"),
        ("[broker]\nport = 1", "there is no option `broker`"),
        ("config = 'x'", "there is no option `config`"),
        ("port = 'many'", "newswire.toml: `port`: 'many' is not a valid whole number"),
        ("port = true", "newswire.toml: `port` must be"),
        ("primary = 'yes'", "newswire.toml: `primary` must be true or false"),
        ("min-copies = 1\nmin_copies = 2", "`min-copies` is given twice"),
        ("primary = true\nsecondary = true", "is given twice"),
        ("peer = ['a']", "a broker address is HOST:PORT"),
        ("peer = 5", "newswire.toml: `peer`"),
        ("port = ", "newswire.toml is not a TOML file"),
        ("cluster-secret = 'short'", "shorter than 32 bytes"),
        ("cluster-secret-file = 'nowhere'", "cannot read the cluster-secret from nowhere"),
    ],
)
def test_a_file_that_says_nonsense_is_refused_with_a_sentence(settings: Callable[..., Settings], file: str, said: str) -> None:
    with pytest.raises(click.UsageError) as refused:
        settings(file=file)
    assert said in refused.value.format_message()


def test_the_named_file_beats_the_one_that_lies_here(settings: Callable[..., Settings], tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text("port = 7")
    assert settings("--config", str(other), file="port = 8").port == 7
    assert settings(CONFIG=str(other)).port == 7


def test_a_named_file_that_is_missing_is_an_error(settings: Callable[..., Settings]) -> None:
    with pytest.raises(click.UsageError, match=r"cannot read nowhere\.toml"):
        settings("--config", "nowhere.toml")


def test_places_are_tried_in_turn(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    assert options.find_file(None, (first, second)) is None
    second.touch()
    assert options.find_file(None, (first, second)) == second
    first.touch()
    assert options.find_file(None, (first, second)) == first
    assert options.find_file(Path("given"), (first, second)) == Path("given")


@pytest.mark.parametrize("value", ["tcp:/10.0.0.1:5053", "70000", ""])
def test_a_variable_that_says_nonsense_is_named(settings: Callable[..., Settings], value: str) -> None:
    if not value:
        assert settings(PORT=value).port == 5053  # empty is as good as not set
        return
    with pytest.raises(click.UsageError) as refused:
        settings(PORT=value)
    assert "NEWSWIRE_PORT" in refused.value.format_message()


# -- secrets --------------------------------------------------------------------------------------------------------
def write(path: Path, text: str, mode: int) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_the_secret_comes_from_the_environment(settings: Callable[..., Settings]) -> None:
    assert settings(CLUSTER_SECRET=SECRET).secrets == (SECRET.encode(),)


def test_the_secret_comes_from_a_file_and_two_stand_there_during_rotation(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    path = write(tmp_path / "secret", f"{SECRET}\n{SECRET[::-1]}\n", 0o600)
    assert settings(CLUSTER_SECRET_FILE=path).secrets == (SECRET.encode(), SECRET[::-1].encode())


def test_the_secret_comes_from_the_toml_file(settings: Callable[..., Settings], tmp_path: Path) -> None:
    assert settings(file=f"cluster-secret = '{SECRET}'").secrets == (SECRET.encode(),)
    path = write(tmp_path / "secret", SECRET, 0o640)
    assert settings(file=f"cluster-secret-file = '{path}'").secrets == (SECRET.encode(),)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o620])
def test_a_secret_that_others_may_read_is_refused(settings: Callable[..., Settings], tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "secret", SECRET, mode)
    with pytest.raises(click.UsageError, match="chmod 600"):
        settings(CLUSTER_SECRET_FILE=path)
    config = write(tmp_path / "open.toml", f"cluster-secret = '{SECRET}'", mode)
    with pytest.raises(click.UsageError, match="chmod 600"):
        settings("--config", config, CLUSTER_SECRET_FILE="")


def test_a_secret_on_the_command_line_is_refused(settings: Callable[..., Settings]) -> None:
    with pytest.raises(click.UsageError, match="NEWSWIRE_CLUSTER_SECRET_FILE"):
        settings("--cluster-secret", SECRET)


def test_a_secret_given_twice_is_refused(settings: Callable[..., Settings], tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="both set"):
        settings(CLUSTER_SECRET=SECRET, CLUSTER_SECRET_FILE=write(tmp_path / "s", SECRET, 0o600))


def test_a_byte_order_mark_is_no_part_of_a_file(settings: Callable[..., Settings], tmp_path: Path) -> None:
    assert settings(file=f"\ufeffcluster-secret = '{SECRET}'\r\n").secrets == (SECRET.encode(),)
    path = write(tmp_path / "secret", f"\ufeff{SECRET}\r\n{SECRET[::-1]}\r\n", 0o600)
    assert settings(CLUSTER_SECRET_FILE=path).secrets == (SECRET.encode(), SECRET[::-1].encode())
    assert settings(CLUSTER_SECRET_FILE="", CLUSTER_SECRET=f"\ufeff{SECRET}").secrets == (SECRET.encode(),)


def test_no_secret_is_none(settings: Callable[..., Settings]) -> None:
    assert settings().secrets == ()


@pytest.mark.parametrize("blank", ["", " ", "\n", "\r\n \t\n", "\ufeff", "\ufeff\r\n", "\u00a0\n"])
@pytest.mark.parametrize("place", ["variable", "file of a variable", "name of a file", "setting", "file of a setting"])
def test_a_blank_secret_is_none_that_somebody_meant(
    settings: Callable[..., Settings], tmp_path: Path, place: str, blank: str
) -> None:
    path = write(tmp_path / "secret", blank, 0o600)
    given = {
        "variable": {"CLUSTER_SECRET": blank},
        "file of a variable": {"CLUSTER_SECRET_FILE": path},
        "name of a file": {"CLUSTER_SECRET_FILE": blank.replace("\ufeff", "")},
        "setting": {"file": f'cluster-secret = "{blank.encode("unicode_escape").decode().replace("xa0", "u00a0")}"'},
        "file of a setting": {"file": f"cluster-secret-file = '{path}'"},
    }
    with pytest.raises(click.UsageError, match="blank"):
        settings(**given[place])


# -- what a broker refuses to start with --------------------------------------------------------------------------------
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.1", "broker.example", "192.168.1.1"])
def test_an_open_broker_needs_a_word(settings: Callable[..., Settings], host: str) -> None:
    with pytest.raises(click.UsageError, match=r"lets anybody publish and read.*--insecure"):
        settings("--host", host, CLUSTER_SECRET=SECRET)
    assert settings("--host", host, "--insecure", "--advertise", "a.example:5053").insecure


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
def test_this_machine_alone_needs_none(settings: Callable[..., Settings], host: str) -> None:
    assert settings("--host", host).host == host


@pytest.mark.parametrize(
    "beyond",
    [
        ("--host", "10.0.0.11", "--insecure"), ("--host", "broker.example", "--insecure"),
        ("--host", "2001:db8::1", "--insecure"),
        ("--advertise", "10.0.0.11:5053"), ("--advertise", "https://news1.example.org"),
        ("--peer", "127.0.0.1:5054", "--peer", "10.0.0.12:5053"), ("--peer", "https://news2.example.org"),
    ],
)  # fmt: skip
def test_who_speaks_with_other_machines_signs(settings: Callable[..., Settings], beyond: tuple[str, ...]) -> None:
    """Also with --insecure, which is about clients: an unsigned push may hold anything."""
    with pytest.raises(click.UsageError, match=r"no secret that brokers sign with.*openssl rand.*NEWSWIRE_CLUSTER_SECRET_FILE"):
        settings(*beyond)
    assert settings(*beyond, CLUSTER_SECRET=SECRET).secrets == (SECRET.encode(),)


def test_a_file_of_cas_is_looked_at_before_the_start(settings: Callable[..., Settings], tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match=r"x.pem \(--ca-file\): No such file"):
        settings("--ca-file", "x.pem")
    file = Authority(tmp_path).file
    assert settings(CA_FILE=file).ca_file == settings("--ca-file", file).ca_file == file


def test_names_of_its_own_and_proxies(settings: Callable[..., Settings]) -> None:
    told = settings("--allow-host", "news.example.org", "--allow-host", "[::1]:80", "--trusted-proxy", "10.0.0.0/24")
    assert (told.allowed_hosts, told.trusted_proxies) == (("news.example.org", "[::1]:80"), ("10.0.0.0/24",))
    assert settings(ALLOW_HOST="a.example,*", TRUSTED_PROXY="::1").allowed_hosts == ("a.example", "*")
    for wrong in ("http://news.example.org", "news.example.org/x", "a b", "*.example.org"):
        with pytest.raises(click.BadParameter, match="without http"):
            settings("--allow-host", wrong)
    for wrong in ("news.example.org", "10.0.0.1/40", "*"):
        with pytest.raises(click.BadParameter, match="network"):
            settings("--trusted-proxy", wrong)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_every_address_must_be_told_how_it_is_reached(settings: Callable[..., Settings], host: str) -> None:
    with pytest.raises(click.UsageError, match="--advertise"):
        settings("--host", host, "--insecure", CLUSTER_SECRET=SECRET)


def test_one_list_of_all_brokers_may_serve_each(settings: Callable[..., Settings]) -> None:
    assert settings(PEER="127.0.0.1:5053,127.0.0.1:5054").peers == ("127.0.0.1:5054",)
    assert settings("--advertise", "a:1", PEER="a:1,b:2", CLUSTER_SECRET=SECRET).peers == ("b:2",)


def test_who_asks_everybody_who_he_is_may_be_reached_from_elsewhere(settings: Callable[..., Settings]) -> None:
    told = settings("--auth", "required", "--host", "10.0.0.11", CLUSTER_SECRET=SECRET)
    assert (told.auth, told.insecure) == ("required", False)


def test_the_first_admins_password_is_no_flag_and_in_no_repr(settings: Callable[..., Settings], tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("correct horse\n")
    file.chmod(0o600)
    assert settings().admin_password == ""
    assert settings(ADMIN_PASSWORD_FILE=str(file)).admin_password == "correct horse"
    told = settings(ADMIN_PASSWORD_FILE="", ADMIN_PASSWORD="correct horse")
    assert told.admin_password == "correct horse"
    assert "horse" not in repr(told)
    with pytest.raises(click.UsageError, match="can be read by every user"):
        settings("--admin-password", "correct horse")
    with pytest.raises(click.UsageError, match="is set and blank"):
        settings(ADMIN_PASSWORD=" ")


def test_the_password_of_an_admin_is_set_anew_where_there_is_one(settings: Callable[..., Settings]) -> None:
    with pytest.raises(click.UsageError, match="reset-admin-password needs"):
        settings("--reset-admin-password", "--auth", "required")
    assert settings("--reset-admin-password", "--auth", "required", ADMIN_PASSWORD="correct horse").reset_admin_password
    with pytest.raises(click.UsageError, match="reset-admin-password needs"):
        settings("--reset-admin-password")


def test_every_option_of_every_command_is_a_variable_and_known_to_the_file() -> None:
    known = options.known_settings(main.newswire)
    for command in main.newswire.commands.values():
        for param in command.params:
            if isinstance(param, click.Option) and param.name not in ("help", "config"):
                assert isinstance(param, options.Setting)
                assert param.envvar == f"NEWSWIRE_{param.word.upper().replace('-', '_')}"
                assert param.word in known


def test_brokers_are_addresses() -> None:
    convert = options.BrokersParam().convert
    assert convert("a:1, b:2,", None, None) == ("a:1", "b:2")
    assert convert(["a:1"], None, None) == ("a:1",)
    assert convert("https://news.example,http://[::1]:5053", None, None) == ("https://news.example", "[::1]:5053")
    for wrong in ("", "a", "a:0", "ftp://a:1", "https://a:1/x", "https://"):
        with pytest.raises(click.BadParameter):
            convert(wrong, None, None)


@pytest.mark.parametrize("name", sorted(main.newswire.commands))
def test_each_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([name, "--help"]) == 0
    assert f"Usage: newswire {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("high", "'high' is not a valid whole number."),
        ("9", "9 is not in the range 1 to 5."),
        ("2.5", "'2.5' is not a valid whole number."),
    ],
)
def test_a_number_is_asked_for_in_words(value: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["publish", "t", "x", "--priority", value]) == 2
    assert f"Invalid value for --priority: {said}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "args",
    [
        ["publish", "news", "x", "--at", ""],
        ["publish", "news", "x", "--replaces", ""],
        ["publish", "news", "x", "--confirm", "9", "--escalate", ""],
        ["messages", "ann", "--search", ""],
        ["stream", "ann", "--since", ""],
        ["stream", "ann", "--exec", ""],
    ],
)
def test_a_flag_that_is_given_empty_is_not_as_if_it_was_left_out(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(args) == 2
    assert f"{args[-2]} is empty" in capsys.readouterr().err


def test_an_empty_variable_is_not_set(settings: Callable[..., Settings]) -> None:
    assert settings(ADVERTISE="").advertise == ""


def test_both_sides_of_a_pair_in_the_environment_are_refused(settings: Callable[..., Settings]) -> None:
    with pytest.raises(click.UsageError, match="both set"):
        settings(PRIMARY="1", SECONDARY="1")
