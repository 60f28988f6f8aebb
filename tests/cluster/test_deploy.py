"""The deployment files are well-formed, and say the same of tokens and versions."""

from __future__ import annotations

import json
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def test_compose_starts_a_head_and_two_workers_that_share_a_token() -> None:
    (compose,) = documents("compose.yaml")
    head, worker = compose["services"]["head"], compose["services"]["worker"]
    assert head["command"][:3] == ["ray", "start", "--head"]
    assert "--address=head:6379" in worker["command"]
    assert worker["deploy"]["replicas"] == 2
    for service in (head, worker):
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        assert service["environment"]["RAY_AUTH_TOKEN"].startswith("${RAY_AUTH_TOKEN:?")
        assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    assert all(str(port).startswith("127.0.0.1:") for port in head["ports"])


def test_the_image_has_all_that_the_wheel_is_made_of() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    copied = {word for line in re.findall(r"^COPY (.*) \S+$", text, re.M) for word in line.split()}
    assert {"qmarl", "envs", "agents", "trainers", "configs", "pyproject.toml"} <= copied
    assert all((DEPLOY.parent / name).exists() for name in copied)


def test_ray_knows_every_key_of_the_cluster_by_ssh() -> None:
    import ray.autoscaler
    from ray.autoscaler._private.util import prepare_config

    (config,) = documents("ray-ssh.yaml")
    schema = json.loads(Path(ray.autoscaler.__file__).with_name("ray-schema.json").read_text())
    prepared = prepare_config(config)
    assert set(prepared) <= set(schema["properties"])
    assert set(schema["required"]) <= set(prepared)
    (kind,) = prepared["available_node_types"].values()
    assert kind["min_workers"] == kind["max_workers"] == len(config["provider"]["worker_ips"])


def test_the_manifest_gives_every_container_the_token_and_the_tested_ray() -> None:
    cluster, claim = documents("kuberay.yaml")
    spec = cluster["spec"]
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    assert spec["rayVersion"] == metadata.version("ray")
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    containers = [c for g in groups for c in g["template"]["spec"]["containers"]]
    for env in [spec["autoscalerOptions"]["env"], *(each["env"] for each in containers)]:
        assert {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"} <= {one["name"] for one in env}
    volumes = groups[0]["template"]["spec"]["volumes"]
    assert volumes[0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    for group in spec["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_the_recipe_for_jobs_is_a_shell_script() -> None:
    assert subprocess.run(["sh", "-n", DEPLOY / "submit.sh"], check=False).returncode == 0
