"""Exports one entry of a Link as ONNX: traced at two batch sizes, freed, written, and compared with Chainer."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training_job.errors import ExportError
from training_job.export import free_batch, onnx_file, parity, trace
from training_job.export.entry import BATCH, Entry
from training_job.export.exports import ExportedNetwork, Source, Tensor
from training_job.export.free_batch import FixedBatchError
from training_job.export.options import Options

_SIZES = (2, 3)
_SEED = 16
_SECONDS = 2.0
"""What the comparison may take; a network that is slower is compared on fewer inputs, but not fewer than `_LEAST`."""
_LEAST = 4


@dataclass(frozen=True)
class _Graph:
    """A graph that was written. `batch` is the only batch size that it takes, or None if it takes any."""

    model: Any
    batch: int | None
    note: str


def export(
    entry: Entry,
    source: Source,
    folder: Path,
    options: Options,
    *,
    is_only: bool,
    metadata: Mapping[str, str] | None = None,
    held_out: Mapping[int, Sequence[Any]] | None = None,
) -> ExportedNetwork:
    """Write `<name>.onnx` and its comparison into a folder. The Link has the weights of `source`.

    The comparison of the only network is `parity`, that of another one `<name>-parity`. It is made on `held_out`,
    arrays for the inputs by the number of examples, or else on random inputs. `metadata` is added to the file's.

    Raises:
        ExportError: The entry cannot be exported; the message says why.
    """
    started = time.perf_counter()
    entry.check()
    graph = _graph(entry)
    file = folder / f"{entry.name}.onnx"
    inputs = _inputs(entry, graph)
    details = {"link": type(entry.link).__name__, "method": entry.method, **(metadata or {})}
    onnx_file.write(file, onnx_file.finish(graph.model, details))
    batches = _batches(entry, graph, options.samples) if held_out is None else held_out
    comparison = parity.compare(file, lambda arrays: trace.run(entry, arrays), entry.input_names(), batches, options)
    name = "parity" if is_only else f"{entry.name}-parity"
    facts = {"held_out": held_out is not None, "seconds": round(time.perf_counter() - started, 2)}
    evidence = parity.write(folder, name, file, comparison, options, facts)
    return ExportedNetwork(
        name=entry.name,
        link=type(entry.link).__name__,
        method=entry.method,
        onnx=file,
        inputs=inputs,
        outputs=outputs_of(graph.model),
        parity=evidence,
        verified=comparison.is_verified,
        sentence=comparison.sentence(file.name) + graph.note,
        source=source,
        metadata=details,
    )


def _graph(entry: Entry) -> _Graph:
    """Return the graph for any batch; if that is not possible, for the batch that was seen last."""
    rng = np.random.default_rng(_SEED)
    small, large = (_traced(entry, entry.samples(size, rng)) for size in _SIZES)
    axes = [entry.free_axes(key) for key in entry.inputs]
    try:
        graph = _Graph(free_batch.free(small, large, _SIZES, axes), None, "")
    except FixedBatchError as error:
        key = next(iter(entry.inputs))
        size = next((entry.inputs[key].shapes[-1][axis] for axis in entry.free_axes(key)), 1)
        note = f" It takes batches of {size} alone: {error}."
        graph = _Graph(_traced(entry, entry.samples(size, rng)), size, note)
    return graph


def _traced(entry: Entry, inputs: Sequence[Any]) -> Any:  # noqa: ANN401 - a model of onnx
    try:
        model = trace.trace(entry, inputs)
    except ExportError:
        raise
    except Exception as error:  # the Link is the script's, and may raise anything
        raise ExportError(f"{entry.method} cannot be traced: {type(error).__name__}: {error}") from error
    unused = [name for name in onnx_file.unused_inputs(model) if name in entry.input_names()]
    if unused:
        raise ExportError(f"its outputs do not depend on {', '.join(unused)}, as far as Chainer's functions show it")
    return model


def _inputs(entry: Entry, graph: _Graph) -> tuple[Tensor, ...]:
    found = tuple(entry.tensor(key) for key in entry.inputs)
    if graph.batch is None:
        return found
    return tuple(
        Tensor(
            name=one.name,
            dtype=one.dtype,
            shape=tuple(graph.batch if size == BATCH else size for size in one.shape),
            low=one.low,
            high=one.high,
        )
        for one in found
    )


def outputs_of(model: Any) -> tuple[Tensor, ...]:  # noqa: ANN401 - a model of onnx
    """Return the outputs of a model."""
    from onnx import helper  # noqa: PLC0415 - slow, and not needed by processes that export nothing

    found = []
    for value in model.graph.output:
        kind = value.type.tensor_type
        shape = tuple(one.dim_param or one.dim_value for one in kind.shape.dim)
        dtype = str(np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type)))
        found.append(Tensor(name=value.name, dtype=dtype, shape=shape))
    return tuple(found)


def _batches(entry: Entry, graph: _Graph, samples: int) -> dict[int, list[Any]]:
    """Return seeded inputs: of one example, of two, and of as many as the time allows."""
    rng = np.random.default_rng(_SEED + 1)
    if graph.batch is not None:
        return {graph.batch: entry.samples(graph.batch, rng)}
    batches = {size: entry.samples(size, rng) for size in (1, 2)}
    started = time.perf_counter()
    try:
        trace.run(entry, batches[2])
    except Exception as error:  # as above
        raise ExportError(f"{entry.method} fails in test mode: {type(error).__name__}: {error}") from error
    # ONNX Runtime computes each batch, too.
    seconds = (time.perf_counter() - started) / 2
    count = min(samples, max(_LEAST, int(_SECONDS / max(seconds, 1e-6))))
    batches.setdefault(count, entry.samples(count, rng))
    return batches
