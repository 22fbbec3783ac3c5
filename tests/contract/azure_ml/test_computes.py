import pytest

from function_app.azure.ml_service import AzureMLService
from function_app.errors import AppNotAllowed, ComputeRefused
from tests.contract.control_plane.plane import ControlPlane, cluster


class TestComputes:
    def test_say_why_there_are_no_nodes(self, plane: ControlPlane, service: AzureMLService) -> None:
        quota = {
            "error": {"code": "ClusterCoreQuotaReached", "message": "Operation results in exceeding quota limits."}
        }
        plane.computes["starved"] = cluster("starved", allocationState="Resizing", targetNodeCount=1, errors=[quota])
        found = {compute.name: compute for compute in service.computes()}["starved"]
        assert (found.state, found.nodes, found.max_nodes) == ("Resizing", 0, 4)
        assert found.size == "STANDARD_NC4AS_T4_V3"
        assert found.error == "Operation results in exceeding quota limits."

    def test_are_clusters_alone(self, plane: ControlPlane, service: AzureMLService) -> None:
        notebook = cluster("somebodys-notebook")
        notebook["properties"]["computeType"] = "ComputeInstance"
        plane.computes["somebodys-notebook"] = notebook
        assert "somebodys-notebook" not in {compute.name for compute in service.computes()}

    def test_that_are_still_made_say_so(self, plane: ControlPlane, service: AzureMLService) -> None:
        young = cluster("young")
        young["properties"]["provisioningState"] = "Creating"
        plane.computes["young"] = young
        assert {compute.name: compute.state for compute in service.computes()}["young"] == "Creating"

    def test_one_is_made_like_the_others(self, plane: ControlPlane, service: AzureMLService) -> None:
        jobs_identity = "/subscriptions/s/identities/jobs"
        plane.computes["gpu-cluster"]["identity"] = {
            "type": "UserAssigned",
            "userAssignedIdentities": {jobs_identity: {"clientId": "c", "principalId": "p"}},
        }
        with plane.recorded() as calls:
            service.create_compute("bigger", size="Standard_NC24ads_A100_v4", max_nodes=2)
        body = calls[-1].body
        assert body["identity"] == {"type": "UserAssigned", "userAssignedIdentities": {jobs_identity: {}}}
        assert body["properties"]["properties"]["remoteLoginPortPublicAccess"] == "Disabled"
        assert body["properties"]["properties"]["scaleSettings"]["minNodeCount"] == 0
        assert body["location"] == "swedencentral"

    def test_what_the_identity_may_not_make_names_the_role(self, plane: ControlPlane, service: AzureMLService) -> None:
        plane.answer(403, method="PUT", path="*/computes/*")
        with pytest.raises(AppNotAllowed, match="AzureML Compute Operator"):
            service.create_compute("forbidden", size="Standard_NC6s_v3", max_nodes=1)

    def test_a_size_that_is_none_is_refused(self, service: AzureMLService) -> None:
        with pytest.raises(ComputeRefused, match="not supported in this region"):
            service.create_compute("strange", size="Huge", max_nodes=1)

    def test_of_many_come_in_pages(self, plane: ControlPlane, service: AzureMLService) -> None:
        for number in range(12):
            plane.computes[f"cluster-{number}"] = cluster(f"cluster-{number}")
        names = {compute.name for compute in service.computes()}
        assert names >= {f"cluster-{number}" for number in range(12)}
