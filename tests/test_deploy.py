"""deploy/: the unit is one that systemd accepts and finds well guarded, and its settings are ones that the broker knows."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from newswire.cli.main import newswire
from newswire.cli.options import known_settings, read_file
from newswire.core import limits
from newswire.core.model.forecasts import Band, LoadForecast, Outlook
from newswire.engine.seam import DiskFacts
from newswire.web.routes.trends import Nothing
from tests.kit.web_fakes import Web

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
UNIT = DEPLOY / "newswire.service"
EXPOSURE_AT_MOST = 2.0  # of 10, as `systemd-analyze security` counts: "OK" ends at 5

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def unit() -> configparser.RawConfigParser:
    """The unit file; of a key that stands there several times the last counts."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text())
    return parser


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit as on a machine where newswire is installed: systemd looks for what ExecStart names."""
    file = tmp_path / UNIT.name
    file.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE))
    return file


@needs_systemd
def test_systemd_accepts_the_unit(installed: Path) -> None:
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", installed], capture_output=True, text=True, check=False)
    about_us = [line for line in done.stderr.splitlines() if "newswire" in line]
    assert (done.returncode, about_us) == (0, [])


@needs_systemd
def test_the_unit_is_well_guarded(installed: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", installed], capture_output=True, text=True, check=False
    )
    found = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= EXPOSURE_AT_MOST


def test_the_command_is_one_that_exists() -> None:
    words = unit()["Service"]["ExecStart"].split()
    assert words[0].endswith("/bin/newswire")
    command = newswire.commands[words[1]]
    options = {flag for parameter in command.params for flag in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


def test_environment_names_settings() -> None:
    known = {f"NEWSWIRE_{word.upper().replace('-', '_')}" for word in known_settings(newswire)}
    for name in re.findall(r"^Environment=(NEWSWIRE_\w+)=", UNIT.read_text(), re.MULTILINE):
        assert name in known or name.removesuffix("_FILE") in known, name


def test_streams_fit_into_the_open_files() -> None:
    assert int(unit()["Service"]["LimitNOFILE"]) > limits.STREAMS_COUNT + limits.CONNECTIONS_COUNT


def test_a_wrong_setting_is_not_tried_again() -> None:
    from newswire.cli import output

    service = unit()["Service"]
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("always", str(output.USAGE))


def test_the_settings_of_two_brokers_fit_together() -> None:
    one, two = (read_file(DEPLOY / f"broker-{id}.toml", known_settings(newswire)) for id in ("1001", "1002"))
    assert (one["broker_id"], two["broker_id"]) == ("1001", "1002")
    assert (one["primary"], two["primary"]) == (True, False)
    assert (one["peers"], two["peers"]) == ([two["advertise"]], [one["advertise"]])
    assert one["insecure"] is two["insecure"] is True


def test_the_settings_are_accepted() -> None:
    from newswire.cli.commands.broker import settings_of

    for id in ("1001", "1002"):
        values = read_file(DEPLOY / f"broker-{id}.toml", known_settings(newswire))
        context = newswire.commands["broker"].make_context("broker", [], default_map=values)
        given = {
            name: value for name, value in context.params.items() if name not in ("menu", "config", "log_format", "log_level")
        }
        assert settings_of(**given | {"cluster_secret": "0123456789abcdef" * 2}).id == id


def test_the_readme_names_files_that_exist() -> None:
    for name in re.findall(r"deploy/([\w.-]+)", (DEPLOY / "README.md").read_text()):
        assert (DEPLOY / name).is_file(), name


class Foreseen(Nothing):
    """All that may be foreseen."""

    _load = LoadForecast(peak=Band(1, 2, 3), limit=9, error=0.1)
    outlook = Outlook(disk_full_seconds=(1, 2), publish=_load, streams=_load)


# -- metrics ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("file", ["alerts.yml", "grafana.json"])
def test_each_metric_that_is_asked_for_is_there(file: str) -> None:
    web = Web(measured=Foreseen())
    web.engine.change_view(disk=DiskFacts(free_bytes=5, reserve_bytes=3, log_bytes=9))
    web.get("/livez")
    there = set(re.findall(r"^(newswire_\w+)", web.client.get("/metrics").get_data(as_text=True), re.MULTILINE))
    asked_for = set(re.findall(r"newswire_\w+", (DEPLOY / file).read_text()))
    assert asked_for - {"newswire_"} <= there


def test_the_dashboard_has_no_panel_twice_and_none_over_another() -> None:
    panels = json.loads((DEPLOY / "grafana.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    cells = [
        (place["x"] + column, place["y"]) for place in (panel["gridPos"] for panel in panels) for column in range(place["w"])
    ]
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) < 24


@needs_promtool
def test_prometheus_accepts_the_alert_rules() -> None:
    done = subprocess.run(["promtool", "check", "rules", DEPLOY / "alerts.yml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


FIRING = """
rule_files: [{rules}]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {{series: 'newswire_copies{{job="newswire", instance="a"}}', values: '{copies}x30'}}
      - {{series: 'newswire_serves{{job="newswire", instance="a"}}', values: '{serves}x30'}}
    alert_rule_test:
      - eval_time: 20m
        alertname: {alert}
        exp_alerts: [{expected}]
"""


@needs_promtool
@pytest.mark.parametrize(
    ("alert", "copies", "serves", "fires"),
    [
        ("NewswireOneCopy", 1, 1, True),
        ("NewswireOneCopy", 2, 1, False),
        ("NewswireNobodyServes", 0, 0, True),
        ("NewswireNobodyServes", 1, 1, False),
    ],
)
def test_an_alert_fires_when_it_should_and_not_else(tmp_path: Path, alert: str, copies: int, serves: int, fires: bool) -> None:
    rules = DEPLOY / "alerts.yml"
    case = tmp_path / "case.yml"
    found = next(block for block in rules.read_text().split("- alert: ") if block.startswith(alert))
    notes = {name: re.search(rf"{name}: (.*)", found)[1] for name in ("severity", "summary", "description")}  # type: ignore[index]
    expected = json.dumps(
        {
            "exp_labels": {"severity": notes["severity"].rstrip("}")},
            "exp_annotations": {name: notes[name] for name in ("summary", "description")},
        }
    )
    case.write_text(FIRING.format(rules=rules, alert=alert, copies=copies, serves=serves, expected=expected if fires else ""))
    done = subprocess.run(["promtool", "test", "rules", case], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_unit_that_forwards_runs_a_command_with_settings_that_exist() -> None:
    text = (DEPLOY / "newswire-forward.service").read_text()
    words = next(line for line in text.splitlines() if line.startswith("ExecStart=")).split()
    assert words[1] in newswire.commands
    known = {f"NEWSWIRE_{word.upper().replace('-', '_')}" for word in known_settings(newswire)}
    names = set(re.findall(r"^Environment=(NEWSWIRE_\w+)=", text, re.MULTILINE))
    assert {name for name in names if name not in known and name.removesuffix("_FILE") not in known} == set()
