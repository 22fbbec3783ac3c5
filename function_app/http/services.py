"""Dependencies: the service that a route uses, and nothing else of the app.

Routes do not know the whole app, `Kedja`. A route declares what it uses after its caller, so that a request of an
unknown caller does not make the app connect.
"""

from collections.abc import Callable, Mapping
from typing import Annotated

from fastapi import Depends, Request

from function_app.domain import naming
from function_app.drops.uploads import Uploads
from function_app.http.auth import access_of
from function_app.http.long_poll import SharedJournalReader
from function_app.http.paging.sealing import Seal
from function_app.models.catalogue import ModelCatalogue
from function_app.models.downloads import Downloads
from function_app.models.ownership import Owners
from function_app.operations.approvals import ApprovalService
from function_app.operations.experiments import Experiments
from function_app.operations.ingest import EventIngest
from function_app.operations.job_commands import JobCommands
from function_app.operations.replay import Replay
from function_app.operations.service import Kedja
from function_app.ports.training_service import ComputeService, JobService
from function_app.store.journal import Journal
from function_app.store.pause import Pauses
from function_app.store.receipt_lookup import ReceiptLookup
from function_app.store.receipts import Receipts

type Probes = Mapping[str, Callable[[], object]]
"""What to call to learn whether a part of the service works, in order. The first connects the service."""


def get_kedja(request: Request) -> Kedja:
    """Return the app, connected when the first request needs it. FastAPI runs this in a thread, as it may take long."""
    return access_of(request).kedja()


_App = Annotated[Kedja, Depends(get_kedja)]


async def _approvals(kedja: _App) -> ApprovalService:
    return kedja.approval_service


async def _computes(kedja: _App) -> ComputeService:
    return kedja.training


async def _default_compute(kedja: _App) -> str:
    return kedja.settings.compute


async def _event_source(kedja: _App) -> str:
    return kedja.intake.account_url


async def _experiments(kedja: _App) -> Experiments:
    return kedja.experiments


async def _ingest(kedja: _App) -> EventIngest:
    return kedja.event_ingest


async def _job_service(kedja: _App) -> JobService:
    return kedja.training


async def _jobs(kedja: _App) -> JobCommands:
    return kedja.job_commands


async def _journal(kedja: _App) -> Journal:
    return kedja.receipts.journal


async def _lookup(kedja: _App) -> ReceiptLookup:
    return ReceiptLookup(blobs=kedja.blobs, receipts=kedja.receipts)


async def _models(kedja: _App) -> ModelCatalogue:
    return ModelCatalogue(
        champions=kedja.champions,
        downloads=Downloads(blobs=kedja.blobs, clock=kedja.clock),
        owners=kedja.owners,
        receipts=kedja.receipts,
        service=kedja.training,
        clock=kedja.clock,
    )


async def _owners(kedja: _App) -> Owners:
    return kedja.owners


async def _pauses(kedja: _App) -> Pauses:
    return Pauses(kedja.blobs, kedja.clock)


async def _receipts(kedja: _App) -> Receipts:
    return kedja.receipts


async def _replay(kedja: _App) -> Replay:
    return Replay(
        blobs=kedja.blobs,
        queues=kedja.queues,
        training_requests=kedja.training_requests,
        admit=kedja.event_ingest.ingest,
    )


async def _seal(kedja: _App) -> Seal:
    return Seal(kedja.blobs)


async def _shared_journal(request: Request, _kedja: _App) -> SharedJournalReader:
    return access_of(request).watch


async def _uploads(kedja: _App) -> Uploads:
    return Uploads(blobs=kedja.blobs, clock=kedja.clock)


async def _probes(request: Request) -> Probes:
    connect = access_of(request).kedja
    return {
        "settings": connect,
        "storage": lambda: connect().blobs.page(naming.RECEIPTS, ".open/", size=1),
        "training": lambda: connect().training.computes(),  # noqa: PLW0108 - connects only when called
    }


ApprovalsDep = Annotated[ApprovalService, Depends(_approvals)]
ComputesDep = Annotated[ComputeService, Depends(_computes)]
DefaultComputeDep = Annotated[str, Depends(_default_compute)]
EventSourceDep = Annotated[str, Depends(_event_source)]
"""The address that the source of each published event begins with: that of the storage account."""
ExperimentsDep = Annotated[Experiments, Depends(_experiments)]
IngestDep = Annotated[EventIngest, Depends(_ingest)]
JobServiceDep = Annotated[JobService, Depends(_job_service)]
JobsDep = Annotated[JobCommands, Depends(_jobs)]
JournalDep = Annotated[Journal, Depends(_journal)]
LookupDep = Annotated[ReceiptLookup, Depends(_lookup)]
ModelsDep = Annotated[ModelCatalogue, Depends(_models)]
OwnersDep = Annotated[Owners, Depends(_owners)]
PausesDep = Annotated[Pauses, Depends(_pauses)]
ProbesDep = Annotated[Probes, Depends(_probes)]
"""It connects only when the first of the probes is called."""
ReceiptsDep = Annotated[Receipts, Depends(_receipts)]
ReplayDep = Annotated[Replay, Depends(_replay)]
SealDep = Annotated[Seal, Depends(_seal)]
SharedJournalDep = Annotated[SharedJournalReader, Depends(_shared_journal)]
UploadsDep = Annotated[Uploads, Depends(_uploads)]
