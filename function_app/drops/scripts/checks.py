"""Checks the script of a drop before its job is submitted, so that no node is paid for one that cannot run.

Only small files are read: the entry script, and dropped modules that it imports unconditionally.
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from attrs import define, evolve, field, frozen

from function_app.domain import naming
from function_app.domain.drop import Drop
from function_app.domain.plan import Plan, ReadyPlan, RejectedPlan
from function_app.drops.archives import ScriptArchives
from function_app.drops.scripts import notebooks, python2
from function_app.drops.scripts.python2 import Python2Line
from function_app.errors import BlobNotFound
from function_app.jobspec.schema import JobSpec
from function_app.store.snapshots import SourceChanged

LARGEST_SCRIPT = 256 << 10
"""Max bytes of a script that is read."""
LARGEST_NOTEBOOK = 4 << 20
"""Max bytes of a notebook that is read: it may contain pictures."""
MOST_FILES = 20
"""Max files of a drop that are read."""
_TRANSLATES = b"autotranslate"
"""The package `future` can import modules of Python 2."""


@frozen
class ScriptChecks:
    """Checks the scripts of drops that are ready."""

    archives: ScriptArchives

    def check(self, plan: Plan, spec: JobSpec) -> Plan:
        """Return the plan, or a rejected plan if its script cannot run.

        A notebook that imports the only script beside it becomes the entry script in place of that script.

        Raises:
            SourceChanged: A script has changed since it was listed.
        """
        if not isinstance(plan, ReadyPlan) or plan.entry_script is None:
            return plan
        code = "" if spec.work.code == "." else f"{spec.work.code}/"
        sources = _Sources(self.archives, plan.drop)
        if spec.kedja.entry_script is None:
            plan = evolve(plan, entry_script=_entry(plan, spec, sources, code))
        name = f"{code}{plan.entry_script}"
        content = sources.read(name)
        if content is None:
            return plan
        units: Sequence[str | bytes] = [content]
        if naming.is_notebook(name):
            try:
                units = cells = notebooks.cells(content)
            except notebooks.InvalidNotebook as error:
                return RejectedPlan(
                    drop=plan.drop,
                    reason=f"{name} {error}.",
                    what_to_do="Drop a Python script, or a notebook in Python as Jupyter saves it (nbformat 4).",
                )
            if (script := notebooks.submitted_script(cells)) is not None:
                return _of_driver(plan.drop, name, script)
        # Another environment may have another Python.
        return plan if spec.work.environment is not None else _checked_python(plan, name, units, sources)


def _entry(plan: ReadyPlan, spec: JobSpec, sources: "_Sources", code: str) -> str | None:
    """Return the only notebook beside the only script if it imports that script, which is no entry script then."""
    entry = plan.entry_script
    beside = [name for name in spec.in_code(sources.names) if naming.is_notebook(name) and "/" not in name]
    if entry is None or entry == naming.DEFAULT_ENTRY_SCRIPT or naming.is_notebook(entry) or len(beside) != 1:
        return entry
    content = sources.read(f"{code}{beside[0]}")
    try:
        cells = [] if content is None else notebooks.cells(content)
    except notebooks.InvalidNotebook:
        return entry
    return beside[0] if notebooks.imports(cells, PurePosixPath(entry).stem) else entry


def _of_driver(drop: Drop, name: str, script: str) -> RejectedPlan:
    folder = f"{naming.SCRIPTS}/{drop.folder}/"
    what = PurePosixPath(script).name or "the training script that it submits"
    return RejectedPlan(
        drop=drop,
        reason=f"{name} trains nothing itself: it submits a job by Azure ML's SDK v1, which was retired.",
        what_to_do=f"Drop {what} into {folder}: Kedja runs it as it is, and does what the notebook did with it. "
        "The notebook may stay.",
    )


def _checked_python(plan: ReadyPlan, name: str, units: Sequence[str | bytes], sources: "_Sources") -> Plan:
    for file, number, parsed in _parsed(name, units, sources):
        if isinstance(parsed, Python2Line):
            cell = f", cell {number}" if naming.is_notebook(file) else ""
            place = f"{file}{cell}, line {parsed.number}"
            advice = (
                "Indent with spaces alone, and drop it again."
                if parsed.is_indentation
                else "Convert it to Python 3 and drop it again: `pip install fissix`, then `fissix --write "
                f"{PurePosixPath(file).with_suffix('.py').name}`, which does what 2to3 did. It leaves / as it is: "
                "write // where two integers are to give an integer."
            )
            return RejectedPlan(
                drop=plan.drop,
                reason=f"{place} is Python 2, which jobs do not run: {parsed.text!r} has {parsed.what}.",
                what_to_do=advice,
            )
    return plan


def _parsed(
    name: str, units: Sequence[str | bytes], sources: "_Sources"
) -> Iterator[tuple[str, int, ast.Module | Python2Line]]:
    """Yield file, number of the unit, and its tree, for the entry script and what it imports."""
    root = PurePosixPath(name).parent
    waiting, seen = [(name, units)], {name}
    while waiting:
        file, parts = waiting.pop(0)
        for number, unit in enumerate(parts, start=1):
            parsed = python2.parse(unit)
            if parsed is None:
                continue
            yield file, number, parsed
            if isinstance(unit, bytes) and _TRANSLATES in unit:
                return
            for path in _imported(parsed, root, PurePosixPath(file).parent):
                if path not in seen and (content := sources.read(path)) is not None:
                    seen.add(path)
                    waiting.append((path, [content]))


def _imported(parsed: ast.Module | Python2Line, root: PurePosixPath, folder: PurePosixPath) -> Iterator[str]:
    """Yield the paths that unconditional imports of a module may have, if they are modules of the drop."""
    for node in parsed.body if isinstance(parsed, ast.Module) else ():
        if isinstance(node, ast.Import):
            modules, base = [alias.name for alias in node.names], root
        elif isinstance(node, ast.ImportFrom):
            base = root if not node.level else folder.joinpath(*[".."] * (node.level - 1))
            start = [node.module] if node.module else []
            modules = [*start, *(".".join([*start, alias.name]) for alias in node.names)]
        else:
            continue
        for module in modules:
            parts = module.split(".")
            if parts[0] not in sys.stdlib_module_names and ".." not in base.parts:
                for count in range(1, len(parts)):
                    yield str(base.joinpath(*parts[:count], "__init__.py"))
                yield str(base.joinpath(*parts).with_suffix(".py"))
                yield str(base.joinpath(*parts, "__init__.py"))


@define
class _Sources:
    """Reads scripts of a drop, each at most once, and only so many."""

    _archives: ScriptArchives
    _drop: Drop
    _sizes: dict[str, int] = field(init=False)
    _unpacked: dict[str, bytes] = field(factory=dict)
    _read: int = 0

    def __attrs_post_init__(self) -> None:
        self._sizes = {file.name: file.size for file in self._drop.job_scripts}

    @property
    def names(self) -> Sequence[str]:
        """The names of all scripts."""
        return list(self._sizes)

    def read(self, name: str) -> bytes | None:
        """Return the content of a script, or None if it is not there, large, or one too many."""
        limit = LARGEST_NOTEBOOK if naming.is_notebook(name) else LARGEST_SCRIPT
        if self._sizes.get(name, limit + 1) > limit or self._read >= MOST_FILES:
            return None
        self._read += 1
        if not self._unpacked:
            self._unpacked = self._unpack()
        if name in self._unpacked:
            return self._unpacked[name]
        place = f"{self._drop.folder}/{name}"
        try:
            return self._archives.blobs.read(naming.SCRIPTS, place, limit=limit).data
        except BlobNotFound as error:
            raise SourceChanged(f"{naming.SCRIPTS}/{place} changed while its drop was being read.") from error

    def _unpack(self) -> dict[str, bytes]:
        """Return the small scripts of the drop's archives, which are read as a whole."""
        return {
            file.name: content
            for unpacked in self._drop.unpacked
            for file, content in self._archives.files(self._drop, unpacked)
            if file.name.endswith(naming.SCRIPT_SUFFIXES) and len(content) <= LARGEST_NOTEBOOK
        }
