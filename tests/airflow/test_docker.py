"""The files of ``docker/``, judged without an engine: pinned, non-root, loopback, no secrets."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
PINNED = re.compile(r"^[a-z0-9./-]+:[0-9]+\.[0-9]+(\.[0-9]+)?(-[a-z0-9-]+)?$")
SECRET = re.compile(r"(password|secret|token|fernet|_key)", re.IGNORECASE)


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines if line)]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services of compose.yaml, anchors resolved."""
    return dict(yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"])


def test_every_base_image_is_pinned_to_a_version() -> None:
    images = [rest.split(" ")[0] for name, rest in instructions() if name == "FROM"]
    assert images
    assert [image for image in images if not PINNED.match(image)] == []


def test_the_image_ends_as_a_user_who_is_not_root() -> None:
    last_stage = instructions()
    last_stage = last_stage[max(i for i, (name, _) in enumerate(last_stage) if name == "FROM") :]
    users = [rest for name, rest in last_stage if name == "USER"]
    assert users
    assert users[-1] == "10001:10001"
    after = [name for name, _ in last_stage[last_stage.index(("USER", users[-1])) + 1 :]]
    assert set(after) <= {"ENTRYPOINT", "CMD"}


def test_nothing_is_added_from_the_network_and_every_requirement_has_its_hash() -> None:
    assert [rest for name, rest in instructions() if name == "ADD"] == []
    assert not re.search(r"https?://|curl|wget", (DOCKER / "Dockerfile").read_text())
    installs = [
        part
        for name, rest in instructions()
        if name == "RUN"
        for part in rest.split("&&")
        if "pip install" in part
    ]
    assert installs
    assert all("--require-hashes" in part or "--no-deps" in part for part in installs)


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    allowed = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    for name, rest in instructions():
        if name != "COPY" or rest.startswith("--from="):
            continue
        for source in rest.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert any(f"!{part}" in allowed for part in (source, source.split("/")[0])), source


def test_the_image_has_what_its_wheel_is_made_of() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    needed = set(wheel["targets"]["wheel"]["force-include"])
    copied = [rest.split(" ")[:-1] for name, rest in instructions() if name == "COPY"]
    places = {place for places in copied for place in places}
    assert [each for each in needed if not {each, each.partition("/")[0]} & places] == []


def test_no_secret_stands_in_a_file() -> None:
    for name, rest in instructions():
        if name in {"ENV", "ARG"}:
            assert not SECRET.search(rest), rest
    for service in yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"].values():
        for key, value in service["environment"].items():
            assert not SECRET.search(key) or str(value).startswith("/run/secrets"), key


def test_services_are_pinned_unprivileged_and_read_only(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert PINNED.match(service["image"]), name
        assert service["user"] in {"10001:10001", "postgres"}, name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name


def test_ports_are_published_on_loopback_alone(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert sorted(ports) == [f"127.0.0.1:{port}:{port}" for port in (8080, 8701, 8702)]


def test_yaml_files_are_sound_to_yamllint() -> None:
    config = DOCKER / ".yamllint.yaml"
    subprocess.run(
        [sys.executable, "-m", "yamllint", "-s", "-c", config, DOCKER / "compose.yaml", config],
        check=True,
    )


@pytest.mark.parametrize("script", ["entrypoint.sh", "make-secrets.sh"])
def test_scripts_are_sound_to_bash_and_executable(script: str) -> None:
    subprocess.run(["bash", "-n", DOCKER / script], check=True)
    assert (DOCKER / script).stat().st_mode & 0o111


def test_secrets_are_made_once_in_a_folder_of_ones_own(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    for _ in range(2):
        subprocess.run([DOCKER / "make-secrets.sh", folder], check=True, capture_output=True)
    contents = {path.name: path.read_text() for path in folder.iterdir()}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(contents) == len(set(contents.values())) == 4
    subprocess.run([DOCKER / "make-secrets.sh", folder], check=True, capture_output=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == contents


@pytest.mark.parametrize(
    ("arguments", "spoil", "said"),
    [
        (["rm", "-rf"], None, "say init, api-server"),
        ([], None, "say init, api-server"),
        (["scheduler"], ("jwt-secret", None), "jwt-secret can't be read"),
        (["scheduler"], ("fernet-key", ""), "fernet-key is empty"),
        (["scheduler"], ("database-password", "p@ss"), "URL would need escaped"),
    ],
)
def test_the_entry_point_refuses_what_is_not_set_up(
    tmp_path: Path, arguments: list[str], spoil: tuple[str, str | None] | None, said: str
) -> None:
    subprocess.run([DOCKER / "make-secrets.sh", tmp_path / "s"], check=True, capture_output=True)
    if spoil is not None:
        path = tmp_path / "s" / spoil[0]
        path.chmod(0o600)
        path.unlink() if spoil[1] is None else path.write_text(spoil[1])
    done = subprocess.run(
        [DOCKER / "entrypoint.sh", *arguments],
        env={"PATH": "/usr/bin:/bin", "ZHIXIN_SECRETS": str(tmp_path / "s"), "AIRFLOW_HOME": "/n"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr
