"""Serves `from azureml.core import Run` to scripts that log through the retired Azure ML SDK v1.

An installed azureml-core has precedence, as this finder is the last on `sys.meta_path`. Signatures follow
azureml-core 1.60's `Run`; logged values become the job's metrics and tags, and uploaded files go to `./outputs`.
"""

import importlib.machinery
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Self

from training_job import metrics


class Run:
    """The run that `Run.get_context()` returns."""

    def __init__(self, parent: "Run | None" = None, name: str | None = None) -> None:
        self.parent = parent
        self.name = self.display_name = name
        self.id: str = os.environ.get("AZUREML_RUN_ID", "local") if parent is None else f"{parent.id}_{name}"
        self.experiment = SimpleNamespace(name=os.environ.get("MLFLOW_EXPERIMENT_NAME", "local"))
        self._prefix: str = "" if parent is None else f"{parent._prefix}{name}/"  # noqa: SLF001 - of this class
        self._children: list[Run] = []
        self._steps: dict[str, int] = {}
        self._values: dict[str, list[float]] = {}
        self._tags: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.complete()

    @classmethod
    def get_context(cls, allow_offline: bool = True, **kwargs: object) -> "Run":  # noqa: ARG003, FBT001, FBT002 - v1's signature
        """Return the run of this process, the same one each time."""
        return _CONTEXT

    get_submitted_run = get_context

    @property
    def number(self) -> int:
        """The number of the run in its experiment; always 0 here."""
        return 0

    def log(self, name: str, value: float | str, description: str = "", step: int | None = None) -> None:  # noqa: ARG002
        """Log one value. A number is a metric, with counted steps if `step` is None; a text is a tag."""
        if isinstance(value, str):
            self.tag(name, value)
            return
        self._values.setdefault(name, []).append(float(value))
        metrics.log({self._prefix + name: value}, step=self._next(name) if step is None else step)

    def log_list(self, name: str, value: Sequence[float], description: str = "") -> None:  # noqa: ARG002
        """Log each value, with steps in the order of the list."""
        for item in value:
            self.log(name, item)

    def log_row(self, name: str, description: str | None = None, **columns: float | str) -> None:  # noqa: ARG002
        """Log a row of a table: a metric `name/column` for each column."""
        for column, value in columns.items():
            self.log(f"{name}/{column}", value)

    def log_table(self, name: str, value: Mapping[str, Any], description: str = "") -> None:  # noqa: ARG002
        """Log a table given as lists by column."""
        for column, values in value.items():
            cells = values if isinstance(values, Sequence) and not isinstance(values, str) else [values]
            self.log_list(f"{name}/{column}", cells)

    def log_image(self, name: str, path: str | None = None, plot: Any = None, description: str = "") -> None:  # noqa: ANN401, ARG002
        """Save a picture under `./outputs/images`: a file, or a Matplotlib figure."""
        folder = Path("outputs/images")
        folder.mkdir(parents=True, exist_ok=True)
        if path is not None:
            shutil.copyfile(path, folder / Path(path).name)
        elif plot is not None:
            plot.savefig(folder / f"{Path(name).name}.png")

    def upload_file(self, name: str, path_or_stream: Any, datastore_name: str | None = None) -> None:  # noqa: ANN401, ARG002
        """Save a file as `name`, relative to `./outputs`, with or without the prefix `outputs/`.

        Raises:
            ValueError: The name is absolute, or contains `..`.
        """
        target = _output(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if hasattr(path_or_stream, "read"):
            content = path_or_stream.read()
            target.write_bytes(content.encode() if isinstance(content, str) else content)
        elif not (target.exists() and target.samefile(path_or_stream)):
            shutil.copyfile(path_or_stream, target)

    def upload_folder(self, name: str, path: str, datastore_name: str | None = None) -> None:  # noqa: ARG002
        """Save every file of a folder under `name`.

        Raises:
            ValueError: The name is absolute, or contains `..`.
        """
        target = _output(name)
        if not (target.exists() and target.samefile(path)):
            shutil.copytree(path, target, dirs_exist_ok=True)

    def get_file_names(self) -> list[str]:
        """Return the files in the output folder, as `outputs/…`."""
        return sorted(path.as_posix() for path in Path("outputs").rglob("*") if path.is_file())

    def tag(self, key: str, value: str | None = None) -> None:
        """Put a tag on the run."""
        self._tags[key] = "" if value is None else str(value)
        metrics.tag(self._prefix + key, self._tags[key])

    def get_metrics(self, name: str | None = None) -> dict[str, float | list[float]]:
        """Return the metrics that this process has logged: a number for one value, else a list."""
        return {
            key: values[0] if len(values) == 1 else list(values)
            for key, values in self._values.items()
            if name in (None, key)
        }

    def child_run(self, name: str | None = None, **kwargs: object) -> "Run":  # noqa: ARG002 - v1's signature
        """Return a run inside this one: its metrics are this job's, named `<child>/<metric>`."""
        child = Run(self, name or f"child_{len(self._children)}")
        self._children.append(child)
        return child

    def create_children(
        self, count: int | None = None, tag_key: str | None = None, tag_values: Sequence[str] = ()
    ) -> list["Run"]:
        """Return runs inside this one: `count`, or one for each value of the tag."""
        children = [self.child_run() for _ in (tag_values if count is None else range(count))]
        for child, value in zip(children, tag_values, strict=False):
            child.tag(str(tag_key), value)
        return children

    def get_children(self, **kwargs: object) -> Iterator["Run"]:  # noqa: ARG002 - v1's signature
        """Yield the runs inside this one."""
        yield from self._children

    def get_status(self) -> str:
        """Return `Running`, as a script calls this while it runs."""
        return "Running"

    def get_details(self) -> dict[str, Any]:
        """Return the id and the status of the run."""
        return {"runId": self.id, "status": self.get_status(), "properties": {}}

    def register_model(self, model_name: str, model_path: str | None = None, **kwargs: object) -> SimpleNamespace:  # noqa: ARG002
        """Record the request as a tag. Kedja registers the model when the job has ended."""
        self.tag("register_model", f"{model_name}: {model_path or 'outputs'}")
        return SimpleNamespace(name=model_name, version=None, id=model_name)

    def get_tags(self) -> dict[str, str]:
        """Return the tags that this process has put on the run."""
        return dict(self._tags)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Put each tag on the run."""
        for key, value in tags.items():
            self.tag(key, value)

    add_properties = set_tags

    def complete(self, *, _set_status: bool = True) -> None:
        """Do nothing: the run ends when the script ends."""

    def flush(self, timeout_seconds: int = 300) -> None:
        """Do nothing: every record is written when it is logged."""

    def fail(self, error_details: object = None, error_code: object = None, *, _set_status: bool = True) -> None:  # noqa: ARG002
        """Record why the run failed. As in v1, the script continues, and its exit code decides."""
        metrics.failure(str(error_details or "the script called Run.fail()"))

    def _next(self, name: str) -> int:
        step = self._steps.get(name, 0)
        self._steps[name] = step + 1
        return step


def _output(name: str) -> Path:
    path = Path(name)
    if ".." in path.parts or path.is_absolute():
        raise ValueError(f"{name!r} is no name under outputs/: use a relative name without '..'")
    return path if path.parts[:1] == ("outputs",) else "outputs" / path


_CONTEXT = Run()


class _Finder(MetaPathFinder, Loader):
    """Finds `azureml.core` and `azureml.core.run` if no other finder does."""

    _names = frozenset({"azureml", "azureml.core", "azureml.core.run"})

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the protocol's signature
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._names:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:  # noqa: ARG002
        return None

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == "azureml":
            return
        module.Run = Run  # type: ignore[attr-defined]

        def __getattr__(name: str) -> Any:  # noqa: ANN401, N807 - PEP 562
            if name.startswith("__"):
                raise AttributeError(name)
            raise ImportError(
                f"{module.__name__}.{name} was part of the Azure ML SDK v1, which is retired: jobs have Run only"
            )

        module.__getattr__ = __getattr__  # type: ignore[method-assign]


_FINDER = _Finder()


def install() -> None:
    """Serve `azureml.core` in this process, unless the package is installed."""
    if _FINDER not in sys.meta_path:
        sys.meta_path.append(_FINDER)
