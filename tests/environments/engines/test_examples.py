"""The example files for clusters pass the validators of Ray and Kubernetes, and their commands parse."""

import re
import shlex
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config

from minilm_jax.cli.embed_corpus import embed_corpus
from minilm_jax.scale.job import Job
from minilm_jax.scale.run import embed_corpus as run
from tests.helpers.numbered_corpus import number_table, read_vectors, save_number_model, write_table
from tests.helpers.paths import DOCS

EXAMPLES = DOCS / "examples"
CLUSTER, JOB = (EXAMPLES / f"{name}.yaml" for name in ("ray-cluster", "kubernetes-job"))


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def parse_command(words: list[str]) -> dict[str, Any]:
    assert words[:2] == ["minilm-jax", "embed-corpus"]
    return embed_corpus.make_context("embed-corpus", words[2:]).params


def test_ray_validates_the_cluster_file() -> None:
    cluster = read_yaml(CLUSTER)
    validate_config(prepare_config(cluster))
    with pytest.raises(ValidationError, match="min_wokers"):
        validate_config({**cluster, "min_wokers": 1})
    kinds = cluster["available_node_types"]
    assert sum(kind.get("min_workers", 0) for kind in kinds.values()) == cluster["max_workers"] == 8


def test_cluster_command_starts_one_worker_per_gpu() -> None:
    (line,) = re.findall("ray exec ray-cluster.yaml '(.*)'", CLUSTER.read_text("utf-8"))
    options = parse_command(shlex.split(line))
    assert (options["engine"], options["workers"]) == ("ray", 8)


def test_kubernetes_validates_the_job_file() -> None:
    job, newest = read_yaml(JOB), kubernetes_validate.latest_version()
    kubernetes_validate.validate(job, newest, strict=True)
    job["spec"]["completion"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, newest, strict=True)


def test_each_pod_processes_the_share_of_its_index() -> None:
    spec = read_yaml(JOB)["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    for index in range(spec["completions"]):
        words = [word.replace("$(JOB_COMPLETION_INDEX)", str(index)) for word in container["command"]]
        assert parse_command(words)["share"] == (index, spec["completions"])


def test_shares_cover_the_corpus_and_keep_their_parts_when_files_are_added(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    job = Job((str(tmp_path / "in"),), "text", str(tmp_path / "out"), model=str(save_number_model(tmp_path)))
    for first in (0, 900):
        for i in range(first, first + 900, 100):
            write_table(tmp_path / "in" / f"{i}.parquet", number_table(range(i, i + 100)))
        for share in range(3):
            run(job, share=(share, 3))
        folders = [read_vectors(tmp_path / "out" / f"{share}-of-3") for share in range(3)]
        assert sorted(i for folder in folders for i in folder) == list(range(first + 900))
