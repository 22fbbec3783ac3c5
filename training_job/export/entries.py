"""Chooses how a saved Link is exported: which Link, which method, and under which name.

It is `predictor` of a Classifier, else the saved Link. A method that returns a loss is never exported as it is: in
this order, another method of the Link that was called, what goes into the loss, or the Links inside it.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from training_job.errors import ExportError
from training_job.export import entry as entry_module
from training_job.export.entry import Entry
from training_job.export.recorded_calls import CallGroup, RecordedCalls

_FIRST = ("__call__", "forward")
_MOST_INSIDE = 8


def choose(link: Any, name: str, calls: RecordedCalls) -> list[Entry]:  # noqa: ANN401 - Chainer has no types
    """Return the entries of a saved Link: one, or several if the Link only combines others to a loss.

    Raises:
        ExportError: No call of the Link was seen, or none that can be exported.
    """
    target, path = _predictor(link)
    found = _own(target, path, name, calls)
    if not found and target is not link:
        target, path = link, ""
        found = _own(target, path, name, calls)
    inside = [] if found and found[0].label is None else list(_inside(target, path, calls))
    if found and (found[0].label is not None or not inside):
        return found
    if inside:
        return inside
    if not calls.groups(target):
        raise ExportError("no call of it was seen")
    raise ExportError("it only returns a loss, and nothing that it predicts was found")


def _predictor(link: Any) -> tuple[Any, str]:  # noqa: ANN401 - as above
    import chainer  # noqa: PLC0415 - the caller has a Link, so it is imported

    predictor = getattr(link, "predictor", None)
    return (predictor, "/predictor") if isinstance(predictor, chainer.Link) else (link, "")


def _own(link: Any, path: str, name: str, calls: RecordedCalls) -> list[Entry]:  # noqa: ANN401 - as above
    """Return the entry by a Link's own methods."""
    groups = calls.groups(link)
    batches = _batches(groups)
    tensors = sorted((group for group in groups if group.returns_tensors and not group.others), key=_rank)
    if tensors:
        first = tensors[0]
        several = [first, *_others(first, tensors)] if first.method not in _FIRST else [first]
        return [
            Entry(
                name=name if len(several) == 1 else file_name(group.method),
                link=link,
                path=path,
                group=group,
                batches=batches,
            )
            for group in several
        ]
    for group in groups:
        label = entry_module.label_of(link, group) if group.returns_scalar and not group.others else None
        if label is not None:
            return [Entry(name=name, link=link, path=path, group=group, label=label, batches=batches)]
    opaque = next((group for group in groups if group.returns_tensors), None)
    return [] if opaque is None else [Entry(name=name, link=link, path=path, group=opaque, batches=batches)]


def _others(first: CallGroup, groups: Sequence[CallGroup]) -> Iterator[CallGroup]:
    seen = {first.method}
    for group in groups:
        if group.method not in seen:
            seen.add(group.method)
            yield group


def _inside(link: Any, path: str, calls: RecordedCalls) -> Iterator[Entry]:  # noqa: ANN401 - as above
    """Yield the entries of the Links in a Link that only returns a loss."""
    batches = _batches(calls.groups(link))
    if not any(group.returns_scalar for group in calls.groups(link)):
        return
    children = [(child.name, child) for child in link.children() if child.name]
    for child_name, child in children[:_MOST_INSIDE]:
        for one in _own(child, f"{path}/{child_name}", file_name(child_name), calls):
            if one.inputs:
                yield Entry(
                    name=one.name, link=one.link, path=one.path, group=one.group, label=one.label, batches=batches
                )


def _batches(groups: Sequence[CallGroup]) -> frozenset[int]:
    """Return the sizes of the first axes of the first arguments."""
    arrays = [next(iter(group.arrays.values())) for group in groups if group.arrays]
    return frozenset(shape[0] for array in arrays for shape in array.shapes if shape)


def _rank(group: CallGroup) -> tuple[int, int]:
    return (_FIRST.index(group.method) if group.method in _FIRST else len(_FIRST), -group.count)


def file_name(text: str) -> str:
    """Return a text as the stem of a file."""
    return re.sub(r"[^\w.-]+", "_", text).strip("._") or "model"
