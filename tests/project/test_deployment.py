"""The files in deploy/ agree with each other and with the options of `minilm-jax serve`."""

import json
import re
import shlex
import tomllib
from typing import Any

import pytest
import yaml

from minilm_jax.cli import main
from tests.helpers.paths import ROOT

DEPLOY = ROOT / "deploy"
PREFIX = "MINILM_JAX_SERVE_"
SERVE = main.commands["serve"]
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]["minilm-jax"]
OBJECTS: dict[str, Any] = {
    each["kind"]: each for each in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text("utf-8"))
}
POD: dict[str, Any] = OBJECTS["Deployment"]["spec"]["template"]["spec"]
CONTAINER: dict[str, Any] = POD["containers"][0]


def _instructions() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile, each with its arguments on one line."""
    lines = [line for line in (DEPLOY / "Dockerfile").read_text("utf-8").splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    pairs = [line.split(maxsplit=1) for line in joined.splitlines() if line]
    return [(name, arguments) for name, arguments in pairs]


DOCKERFILE = _instructions()
LAST = dict(DOCKERFILE)
IMAGE_ENV = dict(pair.split("=", 1) for name, given in DOCKERFILE if name == "ENV" for pair in shlex.split(given))
POD_ENV = {each["name"]: each.get("value") for each in CONTAINER["env"]}


@pytest.mark.parametrize("given", [IMAGE_ENV, COMPOSE["environment"], POD_ENV], ids=["image", "compose", "kubernetes"])
def test_variables_are_options_of_serve(given: dict[str, str]) -> None:
    options = {option for parameter in SERVE.params for option in parameter.opts}
    named = {name.removeprefix(PREFIX) for name in given if name.startswith(PREFIX)}
    assert named
    assert {f"--{name.lower().replace('_', '-')}" for name in named} <= options


def test_image_runs_serve_directly_so_that_it_receives_signals() -> None:
    assert json.loads(LAST["ENTRYPOINT"]) == ["minilm-jax", "serve"]
    assert LAST["STOPSIGNAL"] == "SIGTERM"


def test_user_is_the_same_and_not_root() -> None:
    user = LAST["USER"]
    security = POD["securityContext"]
    assert user == f"{security['runAsUser']}:{security['runAsGroup']}"
    assert f"--uid {user.split(':')[0]} " in next(given for _, given in DOCKERFILE if "useradd" in given)
    assert int(user.split(":")[0]) >= 10_000


def test_ports_agree() -> None:
    port = IMAGE_ENV[f"{PREFIX}PORT"]
    assert LAST["EXPOSE"] == port
    assert f":{port}/health'" in LAST["HEALTHCHECK"]
    assert [each.rsplit(":", 1)[1] for each in COMPOSE["ports"]] == [port]
    assert [(each["name"], str(each["containerPort"])) for each in CONTAINER["ports"]] == [("http", port)]
    assert [each["targetPort"] for each in OBJECTS["Service"]["spec"]["ports"]] == ["http"]


def test_health_check_is_python_that_compiles() -> None:
    command = json.loads(LAST["HEALTHCHECK"].split("CMD ")[1])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "HEALTHCHECK", "exec")


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (COMPOSE["environment"], int(COMPOSE["stop_grace_period"].removesuffix("s"))),
        (POD_ENV, POD["terminationGracePeriodSeconds"]),
    ],
    ids=["compose", "kubernetes"],
)
def test_container_may_stop_for_longer_than_the_server_needs(given: dict[str, str], seconds: int) -> None:
    assert int(given[f"{PREFIX}DRAIN_DELAY"]) + int(given[f"{PREFIX}GRACE_PERIOD"]) < seconds


def test_selectors_match_the_pods() -> None:
    labels = OBJECTS["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert OBJECTS["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert OBJECTS["Service"]["spec"]["selector"] == labels
    assert OBJECTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels


def test_docker_sends_every_file_that_the_wheel_is_built_from() -> None:
    settings: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    project, wheel = settings["project"], settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", project["readme"], *project["license-files"], *wheel["packages"]}
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == needed
