"""Evidence: what lies in storage and in the registry, read past every door and every part of Kedja."""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
from attrs import define, field, frozen
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas
from azure.storage.queue import QueueClient

from local_azure.storage.azurite import AzuriteAccount

QUEUES = ("blob-events", "settled-drops", "run-events")
FINAL = frozenset({"registered", "not_registered", "rejected", "failed", "canceled", "superseded"})


@frozen(kw_only=True)
class Version:
    """A model version that nobody archived, and the job that it is of."""

    number: str
    job: str


@define
class Evidence:
    """Reads the account and the registry."""

    account: AzuriteAccount
    registry_url: str
    _http: httpx.Client = field(init=False)
    _sas: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._http = httpx.Client(timeout=60, trust_env=False, limits=httpx.Limits(max_keepalive_connections=8))
        self._sas = generate_account_sas(
            self.account.name,
            self.account.key,
            ResourceTypes(container=True, object=True),
            AccountSasPermissions(read=True, list=True, delete=True),
            datetime.now(UTC) + timedelta(days=1),
        )

    def close(self) -> None:
        self._http.close()

    def names(self, container: str, prefix: str) -> list[str]:
        url = f"{self.account.blob_endpoint}/{container}?restype=container&comp=list&prefix={quote(prefix)}&{self._sas}"
        answer = self._http.get(url)
        answer.raise_for_status()
        return [name.text or "" for name in ET.fromstring(answer.content).iter("Name")]  # noqa: S314 - our own emulator

    def read(self, container: str, name: str) -> bytes | None:
        answer = self._http.get(f"{self.account.blob_endpoint}/{container}/{quote(name)}?{self._sas}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        answer.raise_for_status()
        return answer.content

    def delete(self, container: str, name: str) -> None:
        self._http.delete(f"{self.account.blob_endpoint}/{container}/{quote(name)}?{self._sas}")

    def document(self, container: str, name: str) -> dict[str, Any] | None:
        content = self.read(container, name)
        return None if content is None else json.loads(content)

    def receipts(self, experiment: str) -> list[dict[str, Any]]:
        """Return the experiment's receipts, oldest first."""
        found = []
        for name in self.names("receipts", f"{experiment}/"):
            receipt = None if name.endswith("/latest.json") else self.document("receipts", name)
            if receipt is not None:
                found.append(receipt)
        return sorted(found, key=lambda receipt: str(receipt["received_at"]))

    def open_marks(self, experiment: str) -> Iterator[str]:
        """Yield what says that something is still to happen."""
        for prefix in (f".open/{experiment}/", f".settling/{experiment}"):
            yield from self.names("receipts", prefix)

    def jobs(self, experiment: str) -> list[str]:
        """Return the names of the jobs in the training service, one for each run that MLflow has."""
        found = self._http.get(
            f"{self.registry_url}/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": experiment}
        )
        if found.status_code == httpx.codes.NOT_FOUND:
            return []
        found.raise_for_status()
        wanted = {"experiment_ids": [found.json()["experiment"]["experiment_id"]], "max_results": 100}
        runs = self._http.post(f"{self.registry_url}/api/2.0/mlflow/runs/search", json=wanted).json().get("runs", [])
        return [str(run["info"]["run_name"]) for run in runs]

    def versions(self, model: str) -> list[Version]:
        """Return the model's versions that are not archived."""
        query: dict[str, str | int] = {"filter": f"name = '{model}'", "max_results": 100}
        answer = self._http.get(f"{self.registry_url}/api/2.0/mlflow/model-versions/search", params=query)
        answer.raise_for_status()
        return list(_living(answer.json().get("model_versions", [])))

    def waiting_messages(self) -> int:
        """Return how many messages are in the queues, those that are not due yet among them."""
        return sum(_count(self.account, queue) for queue in QUEUES)


def _count(account: AzuriteAccount, queue: str) -> int:
    with QueueClient.from_connection_string(account.connection_string, queue) as client:
        return client.get_queue_properties().approximate_message_count or 0


def _living(versions: Sequence[Mapping[str, Any]]) -> Iterator[Version]:
    for version in versions:
        tags = {tag["key"]: tag.get("value", "") for tag in version.get("tags", [])}
        if tags.get("kedja_archived") != "true":
            yield Version(number=str(version["version"]), job=tags.get("kedja_job", ""))


def attempt_number(job: str) -> int:
    """Return which attempt a job's name speaks of."""
    found = re.fullmatch(r".*-([0-9]+)", job)
    return int(found[1]) if found else 0
