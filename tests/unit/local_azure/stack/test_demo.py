import json

import pytest

from function_app.http.views import JobView, LiveJob
from function_app.ports.training_service import Job, JobStatus
from local_azure.stack.demo import live_metrics
from tests.unit.simulation import World


@pytest.mark.parametrize(
    ("metrics", "shown"),
    [
        ({"epoch": 2.0, "main/loss": 0.123456, "other": 1.0}, "epoch 2, main/loss 0.1235"),
        ({"epoch": 2.0, "main/loss": float("nan")}, "epoch 2"),
        ({}, ""),
    ],
)
def test_the_metrics_of_a_job_that_runs_are_those_that_the_api_answers_with(
    world: World, metrics: dict[str, float], shown: str
) -> None:
    world.drop_digits()
    world.rest()
    job = Job(name="j", status=JobStatus.RUNNING, detail="Running", experiment="digits", tags={})
    view = JobView.of(world.receipt(), live=LiveJob.of(job, metrics))
    assert live_metrics(json.loads(view.model_dump_json())) == shown


def test_a_job_that_is_over_has_none(world: World) -> None:
    world.drop_digits()
    world.rest()
    assert live_metrics(JobView.of(world.receipt()).model_dump(mode="json")) == ""
