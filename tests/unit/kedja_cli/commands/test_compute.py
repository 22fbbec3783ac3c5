import json

from kedja_cli.errors import Exit
from tests.unit.kedja_cli.conftest import Run
from tests.unit.kedja_cli.fake_service import FakeService

CLUSTER = {"name": "gpu", "state": "Succeeded", "size": "Standard_NC6s_v3", "nodes": 1, "max_nodes": 4, "error": None}


def test_clusters_are_listed_with_the_default_first(run: Run, service: FakeService) -> None:
    other = {**CLUSTER, "name": "a", "nodes": 0, "error": "no quota"}
    service.routes["GET /api/compute"] = {"default": "gpu", "items": [other, CLUSTER]}
    assert run("compute", "list").stdout.splitlines() == [
        "gpu\tdefault\tSucceeded\tStandard_NC6s_v3\t1 of 4\t",
        "a\t\tSucceeded\tStandard_NC6s_v3\t0 of 4\tno quota",
    ]
    assert json.loads(run("compute", "list", "--json").stdout)["default"] == "gpu"


def test_cluster_is_created(run: Run, service: FakeService) -> None:
    service.routes["PUT /api/compute/gpu"] = CLUSTER
    result = run("compute", "create", "gpu", "--size", "Standard_NC6s_v3", "--max-nodes", "4")
    assert result.stdout == "gpu\t\tSucceeded\tStandard_NC6s_v3\t1 of 4\t\n"
    assert service.sent("PUT /api/compute/gpu") == [{"size": "Standard_NC6s_v3", "max_nodes": 4}]
    assert run("compute", "create", "gpu", "--size", "s").exit_code == Exit.USAGE
