"""Requests to Azure ML."""

from function_app.ports.training_service import JOB_TAG, JobRequest, ModelRegistration
from tests.contract.azure_ml_backend import document


def sweep(name: str) -> JobRequest:
    command = document("python train.py --lr ${{search_space.lr}}")
    trial = {key: command.pop(key) for key in ("command", "environment")}
    return JobRequest(
        name=name,
        document={
            **command,
            "type": "sweep",
            "trial": trial,
            "sampling_algorithm": "random",
            "search_space": {"lr": {"type": "choice", "values": [0.1, 0.01]}},
            "objective": {"primary_metric": "accuracy", "goal": "maximize"},
            "limits": {"max_total_trials": 2, "max_concurrent_trials": 1},
        },
    )


def registration(
    model: str, job: str, *, path: str = "outputs/model.npz", is_mlflow: bool = False
) -> ModelRegistration:
    return ModelRegistration(
        model=model,
        job=job,
        path=path,
        is_mlflow=is_mlflow,
        description="What digits learnt.",
        tags={JOB_TAG: job},
        properties={"kedja_data": "0" * 64},
    )
