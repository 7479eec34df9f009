"""What can be known about Dockerfile and compose.yaml without an engine; deploy/containers/prove.sh runs them."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE_TEXT = (ROOT / "compose.yaml").read_text()
SERVICES = yaml.safe_load(COMPOSE_TEXT)["services"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# They run to their end and tell by their exit code.
ONE_SHOT = {"migrate", "cli"}
ROLES = {"worker", "keeper", "deliverer", "flower", "gateway"}
# The embedded broker is for machines without Redis.
NOT_IN_THE_IMAGE = {"embedded", "http", "onnx", "otel", "parquet"}


def pins(name):
    """Of a lock: the requirement lines, each with its hashes."""
    entries = re.split(r"\n(?=[a-z0-9])", (ROOT / name).read_text().strip())
    return {re.sub(r"\s+", " ", entry.replace("\\\n", " ")).split(" --hash", 1)[0].strip(): entry for entry in entries}


def names(requirements):
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def test_the_image_gets_the_versions_and_hashes_of_the_one_lock():
    image, whole = pins("requirements-image.lock"), pins("requirements.lock")
    assert len(image) > 30
    assert {line: entry for line, entry in image.items() if whole.get(line) != entry} == {}


def test_the_image_lock_has_what_every_role_needs_and_no_tool_of_developers():
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = names(PROJECT["project"]["dependencies"]).union(
        *(names(needs) for extra, needs in extras.items() if extra not in {*NOT_IN_THE_IMAGE, "all"})
    )
    unwanted = names(PROJECT["dependency-groups"]["dev"]).union(*(names(extras[extra]) for extra in NOT_IN_THE_IMAGE))
    image = names(pins("requirements-image.lock"))
    assert wanted - image == set(), "run `make lock`"
    assert unwanted & image == set()


def test_the_build_stage_installs_from_locks_with_hashes_only():
    installs = re.findall(r"pip install ([^\n&]*)", DOCKERFILE)
    assert installs
    assert all("--require-hashes" in install or "--no-deps" in install for install in installs)


def test_the_image_runs_as_a_fixed_user_that_is_not_root():
    last_stage = DOCKERFILE.rsplit("\nFROM ", 1)[1]
    user = re.findall(r"^USER (.*)$", last_stage, re.MULTILINE)[-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_the_image_has_a_healthcheck_in_shell_form():
    assert re.search(r"^HEALTHCHECK [^\n\[]*CMD [^\[\n]+$", DOCKERFILE, re.MULTILINE)


def test_images_have_a_version():
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    images = [*bases, *(service["image"] for service in SERVICES.values())]
    assert [image for image in images if ":" not in image or image.endswith(":latest")] == []


def test_services_and_image_say_the_same_version_of_inferq():
    assert {SERVICES[name]["image"] for name in ROLES | ONE_SHOT} == {f"inferq:{PROJECT['project']['version']}"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_watched_or_runs_once(name):
    service = SERVICES[name]
    if name in ONE_SHOT:
        assert service["healthcheck"] == {"disable": True}
        assert service["restart"] == "no"
    else:
        assert "test" in service.get("healthcheck", {}) or name in ROLES  # these have the image's own check
        assert service["restart"] == "unless-stopped"
        assert "stop_grace_period" in service


@pytest.mark.parametrize("name", sorted(ROLES | ONE_SHOT))
def test_a_role_has_no_rights_that_it_does_not_need(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in service


@pytest.mark.parametrize("name", sorted(ROLES))
def test_a_role_starts_after_the_migration(name):
    assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_what_needs_a_key_first_is_not_started_with_the_rest():
    assert SERVICES["gateway"]["profiles"] == ["gateway"]
    assert SERVICES["gateway"]["environment"]["INFERQ_GATEWAY_ADDRESS"] == "0.0.0.0"


def test_ports_are_published_on_this_machine_only():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_passwords_come_from_outside_and_have_no_default():
    given = re.findall(r"\$\{(\w*PASSWORD\w*)([^}]*)\}", COMPOSE_TEXT)
    assert {name for name, _ in given} == {"REDIS_PASSWORD", "POSTGRES_PASSWORD", "FLOWER_PASSWORD"}
    assert [name for name, rest in given if not rest.startswith(":?")] == []
    literal = re.compile(r"(?i)(PASSWORD|AUTH)\w*: +(?!.*\$\{)\S|://[^@\s$]*:[^@\s$]+@")
    assert [line for line in COMPOSE_TEXT.splitlines() if literal.search(line)] == []
    example = (ROOT / ".env.example").read_text()
    assert re.findall(r"^(\w*PASSWORD)=(.*)$", example, re.MULTILINE) == [
        (name, "") for name in ("REDIS_PASSWORD", "POSTGRES_PASSWORD", "FLOWER_PASSWORD")
    ]
    assert ".env" in (ROOT / ".gitignore").read_text().split()


def test_artifacts_are_shared_and_only_the_command_line_writes_them():
    assert "artifacts:/var/lib/inferq/artifacts:ro" in SERVICES["worker"]["volumes"]
    assert "artifacts:/var/lib/inferq/artifacts" in SERVICES["cli"]["volumes"]


def test_nothing_keeps_the_worker_from_being_scaled():
    assert not {"container_name", "ports", "hostname"} & SERVICES["worker"].keys()
