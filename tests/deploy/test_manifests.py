"""deploy/kubernetes.yaml, deploy/compose.yaml and the Dockerfile: what they say has its form, and fits the broker.

No container is run here: the image is checked by what it says.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from newswire.cli.main import newswire
from newswire.cli.options import known_settings
from newswire.core.model import names

ROOT: Final = Path(__file__).resolve().parents[2]
KUBERNETES: Final = "1.34"  # whose schemas count
OBJECTS: Final[list[dict[str, Any]]] = list(yaml.safe_load_all((ROOT / "deploy/kubernetes.yaml").read_text()))
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
DOCKERFILE: Final = (ROOT / "Dockerfile").read_text()
SETTINGS: Final = {f"NEWSWIRE_{word.upper().replace('-', '_')}" for word in known_settings(newswire)}


def one(kind: str, name: str) -> dict[str, Any]:
    (found,) = [it for it in OBJECTS if (it["kind"], it["metadata"]["name"]) == (kind, name)]
    return found


def pod(kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = one(kind, name)["spec"]["template"]["spec"]
    return found


PODS: Final = [("StatefulSet", "nats"), ("Deployment", "newswire")]


def are_settings(variables: set[str]) -> bool:
    return all(name in SETTINGS or name.removesuffix("_FILE") in SETTINGS for name in variables if name.startswith("NEWSWIRE_"))


@pytest.mark.parametrize("manifest", OBJECTS, ids=lambda it: f"{it['kind']} {it['metadata']['name']}")
def test_kubernetes_knows_each_field(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@pytest.mark.parametrize(("kind", "name"), PODS)
def test_pods_have_no_more_rights_than_they_need(kind: str, name: str) -> None:
    spec = pod(kind, name)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        rights = container["securityContext"]
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert (rights["allowPrivilegeEscalation"], rights["readOnlyRootFilesystem"]) == (False, True)
        assert {"startupProbe", "readinessProbe", "livenessProbe", "resources"} <= container.keys()
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        claims = {claim["metadata"]["name"] for claim in one(kind, name)["spec"].get("volumeClaimTemplates", ())}
        assert mounts == {volume["name"] for volume in spec["volumes"]} | claims


@pytest.mark.parametrize(("kind", "name"), PODS)
def test_services_budgets_and_policies_choose_these_pods(kind: str, name: str) -> None:
    labels = one(kind, name)["spec"]["template"]["metadata"]["labels"].items()
    assert one(kind, name)["spec"]["selector"]["matchLabels"].items() <= labels
    assert one("Service", name)["spec"]["selector"].items() <= labels
    budget = one("PodDisruptionBudget", name)["spec"]
    assert budget["selector"]["matchLabels"].items() <= labels
    assert budget["maxUnavailable"] == 1
    ports = {port["name"] for container in pod(kind, name)["containers"] for port in container["ports"]}
    assert {port["targetPort"] for port in one("Service", name)["spec"]["ports"]} <= ports


def test_the_gateways_settings_are_settings_and_name_the_servers() -> None:
    (container,) = pod("Deployment", "newswire")["containers"]
    values = {it["name"]: it.get("value", "") for it in container["env"]}
    assert are_settings(set(values))
    assert values["NEWSWIRE_ENGINE"] == "jetstream"
    count = one("StatefulSet", "nats")["spec"]["replicas"]
    assert values["NEWSWIRE_NATS"].split(",") == [f"nats://nats-{n}.nats:4222" for n in range(count)]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    shell = container["command"][-1].replace("exec newswire", "echo")
    done = subprocess.run(
        ["sh", "-c", shell],
        env={"POD_NAME": "newswire-6d4cf56db6-x7k2p", "POD_IP": "10.1.2.3"},
        capture_output=True,
        text=True,
        check=True,
    )
    words = done.stdout.split()
    assert words == ["broker", "--id", "gx7k2p", "--advertise", "10.1.2.3:5053"]
    assert re.fullmatch(names.BROKER_ID_FORM, words[2])


def test_the_servers_of_nats_sync_each_write_and_accept_their_settings(tmp_path: Path) -> None:
    text = one("ConfigMap", "nats")["data"]["nats.conf"]
    assert re.search(r"^ +sync_interval: always$", text, re.MULTILINE)
    routes = re.findall(r"nats://(\S+):6222", text)
    assert routes == [f"nats-{n}.nats" for n in range(one("StatefulSet", "nats")["spec"]["replicas"])]
    server = Path(sys.executable).with_name("nats-server")
    file = tmp_path / "nats.conf"
    file.write_text(text)
    done = subprocess.run([server, "-t", "-c", file], env={"POD_NAME": "nats-0"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_two_brokers_of_the_compose_file_fit_together() -> None:
    first, second = (COMPOSE["services"][name] for name in ("first", "second"))
    one, two = first["environment"], second["environment"]
    assert are_settings({*one, *two})
    assert (one["NEWSWIRE_PEER"], two["NEWSWIRE_PEER"]) == (two["NEWSWIRE_ADVERTISE"], one["NEWSWIRE_ADVERTISE"])
    assert (one["NEWSWIRE_ID"], two["NEWSWIRE_ID"]) == ("1001", "1002")
    same = {"NEWSWIRE_AUTH", "NEWSWIRE_ALLOW_HOST", "NEWSWIRE_CLUSTER_SECRET_FILE", "NEWSWIRE_ADMIN_PASSWORD_FILE"}
    assert {name for name in one if one[name] == two[name]} == same
    for service in (first, second):
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert {volume.partition(":")[0] for volume in service["volumes"]} <= COMPOSE["volumes"].keys()
        assert set(service["secrets"]) == COMPOSE["secrets"].keys()
        files = {value for name, value in service["environment"].items() if name.endswith("_FILE")}
        assert files == {f"/run/secrets/{secret}" for secret in service["secrets"]}
    assert first["volumes"] != second["volumes"]
    assert first["ports"] != second["ports"]


def test_the_image_runs_as_somebody_else_than_root_and_asks_the_broker_how_it_is() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    user = re.search(r"^USER (\d+):(\d+)$", last, re.MULTILINE)
    assert user is not None
    (context,) = {(pod("Deployment", "newswire")["securityContext"][key]) for key in ("runAsUser", "runAsGroup", "fsGroup")}
    assert user.groups() == (str(context), str(context))
    program = re.search(r'HEALTHCHECK .*\\\n +CMD \["python", "-c", "(.+)"\]', last)
    assert program is not None
    compile(program[1], "healthcheck", "exec")
    assert "/readyz" in program[1]
    assert are_settings(set(re.findall(r"\bNEWSWIRE_\w+(?==)", last)))
    assert last.rstrip().endswith('ENTRYPOINT ["newswire"]\nCMD ["broker"]')


def test_what_the_image_is_built_from_is_sent_to_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert f"!{source}" in ignored
            assert (ROOT / source).exists()
