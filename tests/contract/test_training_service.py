"""What `function_app.ports.training_service` promises, asked of each service that stands behind it."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from function_app.errors import ComputeRefused, JobConflict, JobNotFound, JobRefused
from function_app.ports.training_service import (
    JOB_TAG,
    RECEIPT_TAG,
    JobStatus,
    ModelRegistration,
    ModelVersion,
    TrainingService,
)
from tests.contract.backend import Backend


def registration(model: str, job: str, path: str = "outputs/model.npz") -> ModelRegistration:
    return ModelRegistration(
        model=model,
        job=job,
        path=path,
        description="What digits learnt.",
        tags={JOB_TAG: job, RECEIPT_TAG: "digits/0123456789abcdef"},
        properties={"kedja_data": "a" * 64},
    )


class TestSubmit:
    def test_starts_the_job(self, backend: Backend, name: str) -> None:
        before = datetime.now(UTC) - timedelta(seconds=5)
        job = backend.service.submit(backend.job(name, experiment="digits", tags={"team": "post"}, hold=True))
        assert job.name == name
        assert job.status in (JobStatus.STARTING, JobStatus.RUNNING)
        assert job.experiment == "digits"
        assert job.tags == {RECEIPT_TAG: "digits/0123456789abcdef", "team": "post"}
        assert job.detail
        assert job.created is not None
        assert before < job.created < datetime.now(UTC) + timedelta(seconds=5)
        backend.release(name)
        backend.run_until(name, JobStatus.COMPLETED)

    def test_returns_the_job_that_an_equal_call_started(self, backend: Backend, name: str) -> None:
        request = backend.job(name, hold=True)
        first = backend.service.submit(request)
        running = backend.run_until(name, JobStatus.RUNNING)
        again = backend.service.submit(request)
        assert (again.name, again.created, again.status) == (first.name, first.created, running.status)
        backend.release(name)
        backend.run_until(name, JobStatus.COMPLETED)

    def test_returns_the_job_of_an_equal_call_that_has_ended(self, backend: Backend, name: str) -> None:
        request = backend.job(name)
        backend.service.submit(request)
        backend.run_until(name, JobStatus.COMPLETED)
        assert backend.service.submit(request).status is JobStatus.COMPLETED

    def test_refuses_another_job_of_the_same_name(self, backend: Backend, name: str) -> None:
        backend.service.submit(backend.job(name, log="one\n"))
        with pytest.raises(JobConflict, match=name):
            backend.service.submit(backend.job(name, log="another\n"))
        backend.run_until(name, JobStatus.COMPLETED)

    def test_refuses_the_same_job_with_other_tags(self, backend: Backend, name: str) -> None:
        backend.service.submit(backend.job(name, receipt="digits/one"))
        with pytest.raises(JobConflict, match=name):
            backend.service.submit(backend.job(name, receipt="digits/another"))
        assert backend.service.get(name).tags[RECEIPT_TAG] == "digits/one"
        backend.run_until(name, JobStatus.COMPLETED)

    def test_refuses_what_the_service_will_never_accept(self, backend: Backend, name: str) -> None:
        with pytest.raises(JobRefused, match="no-such-cluster"):
            backend.service.submit(backend.refused_job(name))
        with pytest.raises(JobNotFound):
            backend.service.get(name)

    def test_refuses_a_document_that_is_no_job(self, backend: Backend, name: str) -> None:
        request = backend.job(name)
        without_command = {key: value for key, value in request.document.items() if key != "command"}
        with pytest.raises(JobRefused, match="command"):
            backend.service.submit(evolve(request, document=without_command))


class TestGet:
    def test_follows_the_job_from_start_to_end(self, backend: Backend, name: str) -> None:
        backend.service.submit(backend.job(name, hold=True))
        running = backend.run_until(name, JobStatus.RUNNING)
        assert running.started is not None
        assert running.started.tzinfo is not None
        assert running.ended is None
        assert not running.status.is_final
        backend.release(name)
        ended = backend.run_until(name, JobStatus.COMPLETED)
        assert ended.started == running.started
        assert ended.ended is not None
        assert ended.created is not None
        assert ended.created <= running.started <= ended.ended
        assert ended.status.is_final
        assert ended.error is None

    def test_says_why_a_job_failed(self, backend: Backend, name: str) -> None:
        backend.service.submit(backend.job(name, exit_code=1))
        failed = backend.run_until(name, JobStatus.FAILED)
        assert failed.error
        assert failed.ended is not None

    def test_says_where_a_person_can_look(self, backend: Backend, job: str) -> None:
        links = backend.service.get(job).links
        assert links
        assert all(link.startswith(("http://", "https://", "file://")) for link in links.values())


@pytest.mark.parametrize(
    "ask",
    [
        lambda service: service.get("nobody"),
        lambda service: service.cancel("nobody"),
        lambda service: service.logs("nobody"),
        lambda service: service.outputs("nobody"),
        lambda service: service.metrics("nobody"),
        lambda service: service.metric_series("nobody"),
    ],
    ids=["get", "cancel", "logs", "outputs", "metrics", "metric_series"],
)
def test_a_job_that_is_not_there(service: TrainingService, ask: Callable[[TrainingService], object]) -> None:
    with pytest.raises(JobNotFound, match="nobody"):
        ask(service)


class TestList:
    def test_lists_kedjas_jobs_newest_first(self, backend: Backend) -> None:
        names = [f"listed-{number:02}" for number in range(12)]
        for each in names:
            backend.service.submit(backend.job(each))
        for each in names:
            backend.run_until(each, JobStatus.COMPLETED)
        listed = [job.name for job in backend.service.list() if job.name.startswith("listed-")]
        assert listed == names[::-1]

    def test_leaves_out_the_jobs_of_others(self, backend: Backend, name: str) -> None:
        backend.service.submit(backend.job(name, receipt=None))
        assert name not in {job.name for job in backend.service.list()}
        assert backend.service.get(name).tags == {}
        backend.run_until(name, JobStatus.COMPLETED)


class TestCancel:
    def test_stops_a_running_job(self, backend: Backend, name: str) -> None:
        backend.service.submit(backend.job(name, hold=True))
        backend.run_until(name, JobStatus.RUNNING)
        backend.service.cancel(name)
        assert backend.service.get(name).status in (JobStatus.CANCELING, JobStatus.CANCELED)
        canceled = backend.run_until(name, JobStatus.CANCELED)
        assert canceled.ended is not None

    def test_asked_twice_is_asked_once(self, backend: Backend, name: str) -> None:
        backend.service.submit(backend.job(name, hold=True))
        backend.run_until(name, JobStatus.RUNNING)
        backend.service.cancel(name)
        backend.service.cancel(name)
        backend.run_until(name, JobStatus.CANCELED)

    def test_does_nothing_to_a_job_that_has_ended(self, backend: Backend, job: str) -> None:
        ended = backend.service.get(job)
        assert ended.status is JobStatus.COMPLETED
        backend.service.cancel(job)
        assert backend.service.get(job) == ended


class TestLogs:
    def test_a_negative_offset_counts_from_the_end(self, backend: Backend, name: str) -> None:
        backend.service.submit(backend.job(name, log="epoch 1\nepoch 2\n"))
        backend.run_until(name, JobStatus.COMPLETED)
        page = backend.service.logs(name, offset=-8)
        assert (page.text, page.next_offset, page.complete) == ("epoch 2\n", 16, True)
        assert backend.service.logs(name, offset=-1000).text == "epoch 1\nepoch 2\n"

    def test_reads_whole_lines_from_an_offset(self, backend: Backend, name: str) -> None:
        log = "epoch 1\nepoch 2: märkbart bättre\nepoch 3"
        backend.service.submit(backend.job(name, log=log, hold=True))
        backend.run_until(name, JobStatus.RUNNING)
        first = backend.service.logs(name)
        assert first.text == "epoch 1\nepoch 2: märkbart bättre\n"
        assert first.next_offset == len(first.text.encode())
        assert not first.complete
        waiting = backend.service.logs(name, offset=first.next_offset)
        assert (waiting.text, waiting.next_offset, waiting.complete) == ("", first.next_offset, False)
        backend.release(name)
        backend.run_until(name, JobStatus.COMPLETED)
        last = backend.service.logs(name, offset=first.next_offset)
        assert last.text.startswith("epoch 3")
        assert last.complete

    def test_reads_no_more_than_the_limit(self, backend: Backend, name: str) -> None:
        backend.service.submit(backend.job(name, log="one\ntwo\nthree\n"))
        backend.run_until(name, JobStatus.COMPLETED)
        pages, offset = [], 0
        while True:
            page = backend.service.logs(name, offset=offset, limit=9)
            pages.append(page.text)
            offset = page.next_offset
            if page.complete:
                break
        assert pages[:2] == ["one\ntwo\n", "three\n"]
        assert "".join(pages) == "one\ntwo\nthree\n"

    def test_cuts_a_line_that_is_longer_than_the_limit(self, backend: Backend, name: str) -> None:
        backend.service.submit(backend.job(name, log="åäö" * 10 + "\n"))
        backend.run_until(name, JobStatus.COMPLETED)
        page = backend.service.logs(name, limit=9)
        assert page.text == "åäöå"
        assert page.next_offset == 8
        assert not page.complete

    def test_an_offset_at_the_end_of_an_ended_log_is_its_end(self, backend: Backend, name: str) -> None:
        backend.service.submit(backend.job(name, log="done\n"))
        backend.run_until(name, JobStatus.COMPLETED)
        whole = backend.service.logs(name)
        page = backend.service.logs(name, offset=whole.next_offset)
        assert (page.text, page.next_offset, page.complete) == ("", whole.next_offset, True)

    def test_a_log_that_does_not_exist_yet_is_an_empty_page(self, backend: Backend, name: str) -> None:
        backend.service.submit(backend.job(name, hold=True))
        page = backend.service.logs(name)
        assert (page.text, page.next_offset, page.complete) == ("", 0, False)
        backend.release(name)
        backend.run_until(name, JobStatus.COMPLETED)


class TestOutputs:
    def test_are_blobs_once_the_job_has_ended(self, backend: Backend, job: str) -> None:
        folder = backend.service.outputs(job)
        assert folder.prefix.endswith("/")
        assert backend.files(folder) == {"model.npz": b"weights", "plots/loss.txt": b"0.1"}

    def test_are_named_before_there_are_any(self, backend: Backend, name: str) -> None:
        backend.service.submit(backend.job(name, outputs={"model.npz": b"weights"}, hold=True))
        before = backend.service.outputs(name)
        backend.release(name)
        backend.run_until(name, JobStatus.COMPLETED)
        assert backend.service.outputs(name) == before

    def test_of_two_jobs_are_apart(self, backend: Backend, jobs: tuple[str, str]) -> None:
        one, other = jobs
        assert backend.service.outputs(one) != backend.service.outputs(other)


class TestMetrics:
    def test_are_there_while_the_job_runs(self, backend: Backend, name: str) -> None:
        backend.service.submit(backend.job(name, metrics={"accuracy": 0.97, "loss": 0.5}, hold=True))
        backend.run_until(name, JobStatus.RUNNING)
        assert backend.service.metrics(name) == {"accuracy": 0.97, "loss": 0.5}
        backend.release(name)
        backend.run_until(name, JobStatus.COMPLETED)
        assert backend.service.metrics(name) == {"accuracy": 0.97, "loss": 0.5}

    def test_of_a_job_that_logged_none_are_empty(self, backend: Backend, name: str) -> None:
        backend.service.submit(backend.job(name))
        assert backend.service.metrics(name) == {}
        backend.run_until(name, JobStatus.COMPLETED)
        assert backend.service.metrics(name) == {}


class TestMetricSeries:
    def test_has_each_value_of_each_metric(self, backend: Backend, name: str) -> None:
        backend.service.submit(backend.job(name, metrics={"accuracy": 0.97, "loss": 0.0}))
        backend.run_until(name, JobStatus.COMPLETED)
        found = backend.service.metric_series(name)
        values = {key: [point.value for point in points] for key, points in found.series.items()}
        assert values == {"accuracy": [0.97], "loss": [0.0]}
        for points in found.series.values():
            assert points[0].time.tzinfo is not None
            assert points[0].step == 0

    def test_of_a_job_that_logged_none_is_empty(self, backend: Backend, name: str) -> None:
        backend.service.submit(backend.job(name))
        assert not backend.service.metric_series(name).series
        backend.run_until(name, JobStatus.COMPLETED)
        assert not backend.service.metric_series(name).series


class TestModels:
    def test_a_registered_version_says_where_it_comes_from(self, backend: Backend, job: str, model: str) -> None:
        version = backend.service.register_model(registration(model, job))
        assert (version.model, version.version, version.archived) == (model, "1", False)
        assert version.tags.items() >= registration(model, job).tags.items()
        assert version.properties.items() >= {"kedja_data": "a" * 64}.items()
        assert version.created is not None
        assert version.created.tzinfo is not None

    def test_two_calls_make_two_versions(self, backend: Backend, job: str, model: str) -> None:
        versions = [backend.service.register_model(registration(model, job)).version for _ in range(2)]
        assert versions == ["1", "2"]

    def test_a_folder_is_registered_as_well(self, backend: Backend, job: str, model: str) -> None:
        assert backend.service.register_model(registration(model, job, path="outputs/plots")).version == "1"

    def test_versions_are_found_by_their_job_lowest_first(
        self, backend: Backend, jobs: tuple[str, str], model: str
    ) -> None:
        one, other = jobs
        for each in (one, other, one):
            backend.service.register_model(registration(model, each))
        assert numbers(backend.service.find_model(model, one)) == ["1", "3"]
        assert numbers(backend.service.find_model(model, other)) == ["2"]
        assert backend.service.find_model(model, "nobody") == []

    def test_a_model_that_is_not_there_has_no_versions(self, service: TrainingService) -> None:
        assert list(service.find_model("no-such-model", "nobody")) == []
        assert list(service.models("no-such-model")) == []

    def test_an_archived_version_is_in_no_list(self, backend: Backend, job: str, model: str) -> None:
        for _ in range(3):
            backend.service.register_model(registration(model, job))
        backend.service.archive_model(model, "2")
        backend.service.archive_model(model, "2")
        assert numbers(backend.service.find_model(model, job)) == ["1", "3"]
        assert numbers(backend.service.models(model)) == ["3", "1"]
        assert [each.version for each in backend.service.models() if each.model == model] == ["3", "1"]

    def test_archiving_what_is_not_there_does_nothing(self, backend: Backend, job: str, model: str) -> None:
        backend.service.archive_model(model, "1")
        backend.service.register_model(registration(model, job))
        backend.service.archive_model(model, "7")
        assert numbers(backend.service.models(model)) == ["1"]

    def test_a_number_is_not_given_twice(self, backend: Backend, job: str, model: str) -> None:
        for _ in range(2):
            backend.service.register_model(registration(model, job))
        backend.service.archive_model(model, "2")
        assert backend.service.register_model(registration(model, job)).version == "3"

    def test_versions_are_listed_highest_first(self, backend: Backend, job: str, model: str) -> None:
        for _ in range(12):
            backend.service.register_model(registration(model, job))
        assert numbers(backend.service.models(model)) == [str(number) for number in range(12, 0, -1)]

    def test_all_of_kedjas_models_are_listed(self, backend: Backend, job: str, model: str) -> None:
        foreign = f"{model}-foreign"
        backend.service.register_model(registration(model, job))
        backend.service.register_model(evolve(registration(foreign, job), tags={"owner": "somebody else"}))
        listed = {each.model for each in backend.service.models()}
        assert model in listed
        assert foreign not in listed

    def test_models_are_named_in_order(self, backend: Backend, job: str, model: str) -> None:
        for each in (f"{model}-b", f"{model}-a", f"{model}-b"):
            backend.service.register_model(registration(each, job))
        assert [each for each in backend.service.model_names() if each.startswith(f"{model}-")] == [
            f"{model}-a",
            f"{model}-b",
        ]


class TestComputes:
    def test_says_where_jobs_run(self, service: TrainingService) -> None:
        computes = {compute.name: compute for compute in service.computes()}
        cluster = computes["gpu-cluster"]
        assert cluster.state
        assert cluster.size
        assert 0 <= cluster.nodes <= cluster.max_nodes
        assert cluster.max_nodes >= 1
        assert cluster.error is None

    def test_one_that_is_made_takes_jobs(self, backend: Backend, name: str) -> None:
        made = backend.service.create_compute("made-large", size="Standard_NC24ads_A100_v4", max_nodes=2)
        assert (made.name, made.size, made.nodes, made.max_nodes) == ("made-large", "Standard_NC24ads_A100_v4", 0, 2)
        assert "made-large" in {compute.name for compute in backend.service.computes()}
        request = backend.job(name)
        compute = str(request.document["compute"]).replace("gpu-cluster", "made-large")
        backend.service.submit(evolve(request, document={**request.document, "compute": compute}))
        backend.run_until(name, JobStatus.COMPLETED)

    def test_made_again_it_changes_its_nodes_alone(self, service: TrainingService) -> None:
        for nodes in (1, 3):
            made = service.create_compute("made-again", size="Standard_NC6s_v3", max_nodes=nodes)
            assert made.max_nodes == nodes
        with pytest.raises(ComputeRefused, match="Standard_NC6s_v3"):
            service.create_compute("made-again", size="Standard_NC24ads_A100_v4", max_nodes=1)


def numbers(versions: Sequence[ModelVersion]) -> list[str]:
    return [version.version for version in versions]
