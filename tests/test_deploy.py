"""What stands in deploy/, the Containerfile and the pages about them can be typed: every command and flag is there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
import yaml
from streaming import no_settings as no_settings

from rawlogs.cli.group import COMMANDS, cli
from rawlogs.health.address import ListenAddress, parse_address
from rawlogs.health.page import PATHS

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted(path for path in DEPLOY.glob("kubernetes/*.yaml") if path.name != "kustomization.yaml")
UNITS = sorted(DEPLOY.glob("systemd/*.service"))
PAGES = [*(ROOT / "docs" / f"{name}.md" for name in ("deploy", "agents", "health")), DEPLOY / "README.md"]
UID = 65532


class Line(NamedTuple):
    """One command of rawlogs, and where it stands."""

    place: str
    words: list[str]


def containers(document: Any) -> Iterator[dict[str, Any]]:
    """The containers of a Kubernetes object that run rawlogs."""
    pod = document.get("spec", {}).get("template", {}).get("spec", {})
    for container in [*pod.get("initContainers", []), *pod.get("containers", [])]:
        if container["image"] == "rawlogs":
            yield container


def documents() -> Iterator[tuple[str, Any]]:
    for path in MANIFESTS:
        for document in yaml.safe_load_all(path.read_text()):
            yield path.name, document


POD_CONTAINERS = [(name, document, one) for name, document in documents() for one in containers(document)]
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def lines() -> Iterator[Line]:
    """Every command."""
    for name, _, container in POD_CONTAINERS:
        yield Line(name, container["args"])
    yield Line("compose.yaml", COMPOSE["services"]["shipper"]["command"])
    for unit in UNITS:
        text = unit.read_text().replace("\\\n", " ")
        for command in re.findall(r"^ExecStart=\S+/rawlogs (.*)$", text, re.MULTILINE):
            yield Line(unit.name, shlex.split(command))
    for page in PAGES:
        for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            for command in re.findall(r"^rawlogs (.*?)(?:   .*)?$", block.replace("\\\n", " "), re.MULTILINE):
                yield Line(page.name, shlex.split(command, comments=True))


LINES = list(lines())


@pytest.mark.parametrize("line", LINES, ids=[f"{line.place}: {' '.join(line.words)[:60]}" for line in LINES])
def test_every_command_is_one_that_rawlogs_takes(line: Line) -> None:
    """Its words are parsed as they would be; nothing is run."""
    name, *words = line.words
    assert name in COMMANDS
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    context = command.make_context(name, list(words), obj=datetime.now(timezone.utc))
    listen = context.params.get("listen")
    assert listen is None or isinstance(parse_address(listen), ListenAddress)


def test_commands_are_found_in_every_kind_of_file() -> None:
    places = {line.place for line in LINES}
    assert places >= {"ship.yaml", "run-job.yaml", "worker-with-sidecar.yaml", "compose.yaml"}
    assert places >= {"agents.md", "health.md"}
    assert places >= {"rawlogs-ship.service", "rawlogs-tail.service"}


@pytest.mark.parametrize(
    ("name", "document", "container"), POD_CONTAINERS, ids=[name for name, _, _ in POD_CONTAINERS]
)
def test_a_container_has_no_rights_that_it_does_not_need(name: str, document: Any, container: Any) -> None:
    pod = document["spec"]["template"]["spec"]
    security = {**pod["securityContext"], **container["securityContext"]}
    assert security["runAsNonRoot"] is True
    assert (security["runAsUser"], security["runAsGroup"]) == (UID, UID)
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize(
    ("name", "document", "container"), POD_CONTAINERS, ids=[name for name, _, _ in POD_CONTAINERS]
)
def test_probes_ask_where_the_command_listens(name: str, document: Any, container: Any) -> None:
    probes = [container[kind]["httpGet"] for kind in container if kind.endswith("Probe")]
    ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
    flags = [word for word in container["args"] if word.startswith("--listen=")]
    assert bool(probes) == bool(flags) == bool(ports)
    for probe in probes:
        assert probe["path"] in PATHS
        place = parse_address(flags[0].removeprefix("--listen="))
        assert (place.host, place.port) == ("0.0.0.0", ports[probe["port"]])
    assert container.get("livenessProbe", {}).get("httpGet", {}).get("path") in (None, "/livez")


def test_what_is_written_goes_to_a_volume() -> None:
    for _, _, container in POD_CONTAINERS:
        written = [
            word.partition("=")[2] for word in container["args"] if word.startswith(("--cursor", "--dead"))
        ]
        mounted = [mount["mountPath"] for mount in container.get("volumeMounts", ())]
        assert all(any(path.startswith(f"{place}/") for place in mounted) for path in written)


def test_kustomize_names_files_that_are_there() -> None:
    kustomization = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())
    assert all((DEPLOY / "kubernetes" / name).is_file() for name in kustomization["resources"])
    assert [image["name"] for image in kustomization["images"]] == ["rawlogs"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_ends_in_order_at_sigterm_and_does_not_restart_what_does_not_mend_itself(unit: Path) -> None:
    text = unit.read_text()
    assert "\nSuccessExitStatus=143\n" in text
    assert "\nRestartPreventExitStatus=2 3\n" in text


def test_the_image_is_built_of_wheels_and_runs_as_nobody() -> None:
    text = (ROOT / "Containerfile").read_text()
    assert "--only-binary :all:" in text
    assert f"USER {UID}:{UID}" in text
    assert "STOPSIGNAL SIGTERM" in text
    assert 'ENTRYPOINT ["rawlogs"]' in text
    assert not re.search(r"apt-get|gcc|curl|ADD ", text)


def test_the_image_gets_what_the_wheel_is_made_of() -> None:
    """The files that pyproject.toml takes from elsewhere, too; and .containerignore lets through what COPY names."""
    let_through = {
        line[1:] for line in (ROOT / ".containerignore").read_text().splitlines() if line.startswith("!")
    }
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Containerfile").read_text(), re.MULTILINE)
    names = {word for words in copied for word in words.split()}
    assert names == let_through
    sections = r"\[tool\.hatch\.build\.targets\.wheel\.(?:shared-data|force-include)\]\n((?:\".+\n)+)"
    entries = "".join(re.findall(sections, (ROOT / "pyproject.toml").read_text()))
    taken = set(re.findall(r'^"(.+?)" =', entries, re.MULTILINE))
    assert len(taken) == 3
    assert taken <= names
