"""Writes `outputs/package`: the registered model as a folder that can be used without what trained it.

With an exported network, the folder is in MLflow's format: `MLmodel`, the networks as ONNX with the evidence of their
comparison, `input.json`, what its environment needs, and an example. Without one it has the weights alone. Both have
the original weights in `weights/`, and `MODEL_CARD.md`. The job's manifest has size and SHA-256 of each file.
"""

import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from training_job.atomic_write import open_atomic, write_json
from training_job.export.exports import ExportedNetwork, Exports
from training_job.export.options import Onnx, Options
from training_job.job import Job
from training_job.launcher.results import collection
from training_job.launcher.results.gathering import FoundModel
from training_job.launcher.run_log import Records
from training_job.package import card, dependencies, exported, input_file, mlmodel, weights

FOLDER = "package"
WEIGHTS = "weights"
_DESCRIPTIONS = ("model.json", "input.json")
"""Files beside the weights that say what they are: the built-in trainer's."""

logger = logging.getLogger(__name__)


def write(
    job: Job,
    exports: Exports,
    model: FoundModel,
    records: Records,
    options: Options = Options(),  # noqa: B008 - frozen
) -> FoundModel:
    """Write the package of a job's model, and return it as the model.

    Without a model, or if it is none of Chainer's or in MLflow's format already, what was found is returned. No error
    is raised: if the package cannot be written, a note says so, and the model stays the file that was found.
    """
    is_of_chainer = bool(records.saved or exports.networks)
    if model.path is None or not is_of_chainer or (job.outputs / model.path / mlmodel.NAME).exists():
        return model
    folder = _free(job.outputs)
    try:
        found = _Package(job, exports, model, records, options).write(folder)
    except Exception as error:
        logger.exception("the model could not be packaged")
        shutil.rmtree(folder, ignore_errors=True)
        records.note(f"The model could not be packaged, so its weights are registered alone: {error}")
        return model
    collection.remember_more(job, (path for path in folder.rglob("*") if path.is_file()))
    return found


def _free(outputs: Path) -> Path:
    """Return a folder in `outputs` that the script does not use; one that is empty is left from an earlier start."""
    names = (f"{FOLDER}{'' if number == 1 else number}" for number in range(1, 1000))
    return next(path for path in (outputs / name for name in names) if not path.exists() or _is_empty(path))


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(file for file in path.rglob("*") if not file.is_dir())


class _Package:
    """The package of one model."""

    def __init__(self, job: Job, exports: Exports, model: FoundModel, records: Records, options: Options) -> None:
        self._job = job
        self._exports = exports
        self._found = model
        self._model = job.outputs / str(model.path)
        self._records = records
        self._options = options
        self._files = weights.files_of(self._model)
        self._networks = exports.networks

    def write(self, folder: Path) -> FoundModel:
        """Write the folder, and return it as the model.

        Raises:
            OSError, ValueError: A file cannot be read or written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        default = self._default()
        kept = [place.relative_to(folder).as_posix() for place in self._link_weights(folder / WEIGHTS)]
        description = input_file.description(self._model.parent if self._model.is_file() else self._model)
        document = input_file.document(self._networks, default, description) if default else {}
        reason = None if default else self._reason()
        facts = card.Facts(
            job=self._job,
            weights=kept,
            why=self._found.reason,
            metrics=self._records.latest(),
            notes=[note for note in self._records.notes if note not in exported.notes(self._exports)],
            networks=self._networks,
            default=default,
            failures=self._exports.failures,
            reason=reason,
            input_document=document,
        )
        _write_text(folder / card.NAME, card.text(facts))
        if default is not None:
            write_json(folder / input_file.NAME, document)
            self._write_networks(folder, default, document)
        path = folder.relative_to(self._job.outputs).as_posix()
        return replace(self._found, path=path, reason=self._sentence(path, default, reason))

    def _default(self) -> ExportedNetwork | None:
        """Return the network that others load as the model: the one that job.yaml names, else the last one."""
        named = [network for network in self._networks if network.name == self._options.network]
        if self._options.network is not None and self._networks and not named:
            names = ", ".join(network.name for network in self._networks)
            self._records.note(
                f"kedja.export.network in job.yaml is {self._options.network}, which is none of the exported "
                f"networks ({names}). The package's model is {self._networks[-1].name}."
            )
        found = named or self._networks
        return found[-1] if found else None

    def _link_weights(self, folder: Path) -> Iterator[Path]:
        """Put the original weights, and what describes them, into a folder."""
        base = self._model.parent if self._model.is_file() else self._model
        beside = [base / name for name in _DESCRIPTIONS] if self._model.is_file() else []
        for file in (*self._files, *(path for path in beside if path.is_file())):
            place = folder / file.relative_to(base)
            collection.link(file, place)
            yield place

    def _write_networks(self, folder: Path, default: ExportedNetwork, document: Mapping[str, Any]) -> None:
        for network in self._networks:
            for file in network.files:
                collection.link(file, folder / file.name)
        kind = next(one["kind"] for one in document["networks"] if one["name"] == default.name)
        is_table = mlmodel.is_table(default, kind)
        examples = mlmodel.examples(default, is_table=is_table)
        for name, content in examples.items():
            write_json(folder / name, content)
        for name, content in dependencies.files().items():
            text = "".join(f"{line}\n" for line in content) if isinstance(content, list) else _yaml(content)
            _write_text(folder / name, text)
        signature = mlmodel.signature(default, is_table=is_table)
        model = mlmodel.document(default, signature, is_table=is_table, has_example=bool(examples))
        _write_text(folder / mlmodel.NAME, _yaml(model))

    def _reason(self) -> str:
        """Return why there is no exported network for these weights."""
        if self._options.onnx is Onnx.NEVER:
            return "Nothing was exported, as kedja.export.onnx in job.yaml is never."
        if self._exports.failures:
            return " ".join(f"{exported.describe(failure)}" for failure in self._exports.failures)
        return "No network with these weights was exported: the job saw no call of it."

    def _sentence(self, path: str, default: ExportedNetwork | None, reason: str | None) -> str:
        what = f"its ONNX network {default.onnx.name}" if default else "its weights alone"
        said = f"{self._found.reason} " if self._found.reason else ""
        return f"{said}It is registered as folder outputs/{path}, with {what}.{f' {reason}' if reason else ''}"


def _yaml(document: object) -> str:
    import yaml  # noqa: PLC0415 - a job without an export may lack it

    return yaml.safe_dump(document, sort_keys=True, allow_unicode=True, width=1000)


def _write_text(path: Path, text: str) -> None:
    with open_atomic(path) as stream:
        stream.write(text.encode())
