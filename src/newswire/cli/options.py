"""Where an option's value comes from: the flag, else `NEWSWIRE_<OPTION>`, else the TOML file, else its default.

Names are shared by all commands: one file and one environment serve the broker and its clients, and each command takes
what it knows. A name that no command knows is refused, since a misspelt limit would otherwise silently be the default.
A secret never comes from the command line, where every user of the machine can read it in the process list.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypedDict

import click

from newswire import tls
from newswire.cli.parameters import Number, WholeNumber
from newswire.cli.secret_files import check_private, no_secret, read_secret
from newswire.core import limits
from newswire.core.model import names
from newswire.errors import BadRequest
from newswire.text import decode, read_small, without_mark_char

PLACES: Final = (Path("newswire.toml"), Path("/etc/newswire/newswire.toml"))
DEFAULT_BROKERS: Final = ("127.0.0.1:5053", "127.0.0.1:5054")
_TRUE: Final = frozenset(("1", "true", "t", "yes", "y", "on"))
_FALSE: Final = frozenset(("0", "false", "f", "no", "n", "off"))
_SERVICE_LINK: Final = re.compile(r"(tcp|udp|sctp)://\S+:\d+")
_IGNORED: Final = "newswire.cli.ignored"  # in a context's meta
TOKEN_META: Final = "newswire.cli.token"  # there, too


class Setting(click.Option):
    """An option that is also an environment variable and a name in the file. Both words of `--primary/--secondary` are."""

    def __init__(self, *args: Any, may_be_empty: bool = False, **attrs: Any) -> None:
        """`may_be_empty`: as a flag, too, where that is as if it was left out."""
        super().__init__(*args, **attrs)
        self.envvar = variable(_word(self.opts))
        self.may_be_empty = may_be_empty

    @property
    def word(self) -> str:
        """Its name in the file."""
        return _word(self.opts)

    @property
    def opposite(self) -> str:
        """The name in the file of its other side, or ""."""
        return _word(self.secondary_opts) if self.secondary_opts else ""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Read the environment; the other side of a pair says the contrary."""
        value = super().resolve_envvar_value(ctx)
        if value and str(self.envvar).endswith("_PORT") and _SERVICE_LINK.fullmatch(value):
            notes = ctx.meta.setdefault(_IGNORED, [])
            note = f"{self.envvar}={value} is no port: it is what Kubernetes sets for a service named newswire. Ignored."
            notes += [] if note in notes else [note]
            return None
        if self.opposite:
            contrary = _opposite(variable(self.opposite), ctx)
            if value and contrary is not None and (value.lower() in _TRUE) != (contrary == "1"):
                raise click.UsageError(f"{self.envvar} and {variable(self.opposite)} are both set: keep one of them.", ctx)
            return contrary if value is None else value
        return value

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Return the value. A flag that is given empty, as by a script's unset variable, is refused: it says nothing.

        Raises click.UsageError.
        """
        is_flag = ctx.get_parameter_source(str(self.name)) is click.core.ParameterSource.COMMANDLINE
        if is_flag and not self.may_be_empty and (value == "" or (isinstance(value, tuple) and "" in value)):
            raise click.UsageError(f"--{self.word} is empty: give it a value, or leave it out.", ctx)
        return super().process_value(ctx, value)

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Name the place that the value came from."""
        if ctx and ctx.get_parameter_source(str(self.name)) is click.core.ParameterSource.ENVIRONMENT:
            return str(self.envvar)
        return f"--{self.word}"


class Secret(Setting):
    """A setting that may not be a flag: `NEWSWIRE_<OPTION>` or `..._FILE`, or `<option>` or `<option>-file` in the file."""

    def __init__(self, *args: Any, **attrs: Any) -> None:
        super().__init__(*args, hidden=True, **{"callback": _no_flag, **attrs})

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Read the variable, or the file that the `_FILE` variable names."""
        name = variable(self.word)
        value, path = os.environ.get(name), os.environ.get(f"{name}_FILE")
        if value and path:
            raise click.UsageError(f"{name} and {name}_FILE are both set: keep one of them.", ctx)
        if path and path.strip():
            return read_secret(Path(path), self.word)
        if (value, path) != (None, None) and not without_mark_char(value or "").strip():
            blank = name if path is None else f"{name}_FILE"
            raise click.UsageError(f"{blank} is set and blank: {no_secret(self.word)}, or unset it.", ctx)
        return value


class TokenSetting(Secret):
    """The token that a command shows to brokers; a blank variable is none."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Read the variable, or the file that the `_FILE` variable names."""
        name = variable(self.word)
        if not os.environ.get(name) and not os.environ.get(f"{name}_FILE"):
            return None
        from newswire.client.credential import token_of

        try:
            return token_of(os.environ)
        except BadRequest as error:
            raise click.UsageError(f"{error.detail}.", ctx) from None


class Checked(click.ParamType):  # type: ignore[type-arg]  # older clicks than 8.4 cannot take one
    """A string that one of the checks of `core.model.names` accepts; in the environment several stand with commas between."""

    def __init__(self, name: str, check: Callable[[str], str]) -> None:
        self.name = name
        self.check = check

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the checked string."""
        try:
            return self.check(str(value).strip())
        except BadRequest as error:
            self.fail(f"{str(value)!r}: {error.detail}", param, ctx)

    def split_envvar_value(self, rv: str) -> list[str]:
        """Split at commas, not at blanks."""
        return [part for part in rv.split(",") if part.strip()]


PATTERN: Final = Checked("PATTERN", names.check_pattern)
ADDRESS: Final = Checked("HOST:PORT", names.check_address)
BROKER_ID: Final = Checked("ID", names.check_broker_id)
_HOST_NAME: Final = re.compile(r"\*|[A-Za-z0-9._-]+(?::[0-9]{1,5})?|\[?[0-9A-Fa-f:.]+\]?(?::[0-9]{1,5})?")


def check_host_name(text: str) -> str:
    """Return `text` if it is a name or address that a `Host` header may hold, or `*`. Raises BadRequest."""
    if not _HOST_NAME.fullmatch(text):
        raise BadRequest("name the host alone, without http:// or a path, for example news.example.org", code="bad-address")
    return text


def check_network(text: str) -> str:
    """Return `text` if it is an address or a network. Raises BadRequest."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise BadRequest("name an address or a network, for example 10.0.0.7 or 10.0.0.0/24", code="bad-address") from None
    return text


HOST_NAME: Final = Checked("NAME", check_host_name)
NETWORK: Final = Checked("ADDRESS", check_network)


class BrokersParam(click.ParamType):  # type: ignore[type-arg]
    """Addresses with commas between; the first is the primary to try first."""

    name = "A,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the addresses."""
        parts = value.split(",") if isinstance(value, str) else value
        addresses = tuple(_REACHABLE.convert(part, param, ctx) for part in parts if str(part).strip())
        return addresses or self.fail("name at least one broker, for example 127.0.0.1:5053", param, ctx)


_REACHABLE: Final = Checked("HOST:PORT", names.check_broker)


def ignored() -> list[str]:
    """What the environment held that was not meant for newswire, a sentence each: for the log."""
    context = click.get_current_context(silent=True)
    return list(context.meta.get(_IGNORED, [])) if context else []


def _opposite(name: str, ctx: click.Context) -> str | None:
    """The contrary of the flag that a variable sets. Raises click.UsageError if it is neither true nor false."""
    value = os.environ.get(name, "").strip()
    if not value:
        return None
    if value.lower() not in _TRUE | _FALSE:
        raise click.UsageError(f"Invalid value for {name}: {value!r} is neither true nor false.", ctx)
    return "0" if value.lower() in _TRUE else "1"


def variable(word: str) -> str:
    """The environment variable of an option's name."""
    return f"NEWSWIRE_{word.upper().replace('-', '_')}"


def option(*flags: str, **attrs: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare an option of a command."""
    if isinstance(attrs.get("type"), WholeNumber | Number):
        attrs.setdefault("metavar", "N")
    attrs.setdefault("show_default", attrs.get("default") is not None and not attrs.get("is_flag"))
    return click.option(*flags, cls=attrs.pop("cls", Setting), **attrs)


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--config`; the file is read before its other options look for their values."""
    return click.option(
        "--config",
        envvar="NEWSWIRE_CONFIG",
        type=click.Path(path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=load,
        help="TOML file with the same names  [default: ./newswire.toml, else /etc/newswire/newswire.toml]",
    )(command)


def brokers_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--brokers`, the token for them (`cli/credentials.py` finds it), and `--ca-file` for https."""
    command = option("--token", cls=TokenSetting, expose_value=False, callback=keep_token)(command)
    return option(
        "--brokers",
        type=BrokersParam(),
        default=",".join(DEFAULT_BROKERS),
        help="Brokers to try, each HOST:PORT or https://HOST; the first is the primary to try first.",
    )(ca_file_option(command))


def ca_file_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--ca-file`: all that this process asks trusts it, and so do brokers that it starts."""
    return option(
        "--ca-file",
        type=click.Path(dir_okay=False),
        default="",
        callback=trust,
        expose_value=False,
        help="Certificates (PEM) of who may sign those of https brokers  [default: public CAs]",
        show_default=False,
    )(command)


def ca_file() -> str:
    """The file of `--ca-file`, "" without it. Within a command."""
    return os.environ.get(variable("ca-file"), "")


def trust(ctx: click.Context, param: click.Parameter, path: str) -> None:
    """Trust the CA file, here and in what this process starts. Raises click.UsageError."""
    if path:
        try:
            tls.context(path)
        except tls.NoTrust as error:
            raise click.UsageError(f"{error}.", ctx) from None
        os.environ[variable("ca-file")] = path


def timeout_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--timeout`; None leaves it to `times`."""
    return option(
        "--timeout",
        type=Number(0.1, limits.CLI_TIMEOUT_MOST_SECONDS),
        help="Seconds to go on trying, at one broker after the other"
        f"  [default: {limits.CLI_CALL_SECONDS:g}, and {limits.CLI_ABSENT_SECONDS:g} while nobody listens at any address]",
    )(command)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--json`."""
    return option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


class Times(TypedDict):
    """The seconds that a client takes at most, and while nobody listens anywhere."""

    timeout: float
    absent: float


def times(timeout: float | None) -> Times:
    """What a client is told of time: a timeout that was given holds for brokers that are not there, too."""
    if timeout is not None:
        return {"timeout": timeout, "absent": timeout}
    return {"timeout": limits.CLI_CALL_SECONDS, "absent": min(limits.CLI_ABSENT_SECONDS, limits.CLI_CALL_SECONDS)}


def find_file(choice: Path | None, places: Sequence[Path] = PLACES) -> Path | None:
    """The file to read: the one that is named, else the first that is there."""
    return choice or next((place for place in places if place.is_file()), None)


def read_file(path: Path, settings: Mapping[str, Setting]) -> dict[str, Any]:
    """Read a TOML file into values by parameter name. Raises click.UsageError with a sentence."""
    values: dict[str, Any] = {}
    try:
        table = tomllib.loads(decode(read_small(path)))
    except OSError as error:
        raise click.UsageError(f"cannot read {path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} is not a TOML file: {error}.") from None
    for name, value in table.items():
        setting, fixed = _understand(path, name.replace("_", "-"), value, settings)
        if setting.name in values:
            raise click.UsageError(f"{path}: `{setting.word}` is given twice.")
        values[str(setting.name)] = fixed
    return values


def named(word: str, name: str) -> str:
    """What the value of an option came from, as its reader knows it: the flag, the variable, or the name in the file.

    `name` is that of the parameter. Within a command; elsewhere it is the flag.
    """
    context = click.get_current_context(silent=True)
    source = context.get_parameter_source(name) if context else None
    if source is click.core.ParameterSource.ENVIRONMENT:
        return variable(word) if os.environ.get(variable(word)) else f"{variable(word)}_FILE"
    return f"`{word}`" if source is click.core.ParameterSource.DEFAULT_MAP else f"--{word}"


def known_settings(group: click.Group) -> dict[str, Setting]:
    """Every setting of every command, by its name in the file."""
    settings: dict[str, Setting] = {}
    for command in group.commands.values():
        settings |= known_settings(command) if isinstance(command, click.Group) else {}
        settings |= {p.word: p for p in command.params if isinstance(p, Setting)}
    return settings


def load(ctx: click.Context, param: click.Parameter, choice: Path | None) -> None:
    """Read the file of settings. Raises click.UsageError."""
    path = find_file(choice)
    if path:
        if choice and not choice.exists():
            source = ctx.get_parameter_source(str(param.name))
            place = "NEWSWIRE_CONFIG" if source is click.core.ParameterSource.ENVIRONMENT else "--config"
            raise click.UsageError(f"cannot read {choice}: {place} names no file that is there.", ctx)
        root = ctx.find_root().command
        ctx.default_map = read_file(path, known_settings(root) if isinstance(root, click.Group) else {})


def _no_flag(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if ctx.get_parameter_source(str(param.name)) is click.core.ParameterSource.COMMANDLINE:
        name = variable(_word(param.opts))
        raise click.UsageError(
            f"a secret on the command line can be read by every user of this machine: put it into a file and set {name}_FILE.",
            ctx,
        )
    return value


def keep_token(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Put the token where `cli/credentials.py` looks for it."""
    ctx.meta[TOKEN_META] = _no_flag(ctx, param, value)


def _understand(path: Path, word: str, value: Any, settings: Mapping[str, Setting]) -> tuple[Setting, Any]:
    """Find the setting that `word` names and turn the file's value into one of its own."""
    setting = settings.get(word)
    if setting and isinstance(setting, Secret):
        check_private(path, word)
    if not setting and (paired := next((s for s in settings.values() if s.opposite == word), None)):
        return paired, not _typed(path, word, value, paired)
    if not setting and isinstance(secret := settings.get(word.removesuffix("-file")), Secret):
        return secret, read_secret(Path(str(value)), secret.word)
    if not setting:
        near = difflib.get_close_matches(word, list(settings), 1)
        raise click.UsageError(f"{path}: there is no option `{word}`{f', did you mean `{near[0]}`?' if near else '.'}")
    return setting, _typed(path, word, value, setting)


def _typed(path: Path, word: str, value: Any, setting: Setting) -> Any:
    """Check `value` with the option's own type, so that the sentence can name the file."""
    if isinstance(setting.type, click.types.BoolParamType) != isinstance(value, bool):
        form = "true or false" if isinstance(setting.type, click.types.BoolParamType) else f"a {setting.type.name}"
        raise click.UsageError(f"{path}: `{word}` must be {form}.")
    several = (value.split(",") if isinstance(value, str) else value) if setting.multiple else [value]
    try:
        converted = [setting.type.convert(one, setting, None) for one in several]
    except (click.BadParameter, TypeError) as error:
        raise click.UsageError(
            f"{path}: `{word}`: {error.message if isinstance(error, click.BadParameter) else error}"
        ) from None
    return converted if setting.multiple else converted[0]


def _word(flags: Sequence[str]) -> str:
    return max(flags, key=len).lstrip("-")
