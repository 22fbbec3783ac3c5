"""Runs the production Python worker library (`azure-functions-runtime`) in this process.

The library keeps its registry, its thread pool and the imported app in globals: one app per process.
"""

import json
import logging
import os
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure_functions_runtime as runtime
from attrs import frozen

from local_azure.errors import LocalAzureError
from local_azure.functions_host import rpc_messages as messages
from local_azure.functions_host.rpc_messages import ParameterBinding, StatusResult, TypedData

_log = logging.getLogger(__name__)

DEFAULT_SCRIPT = "function_app.py"


class WorkerError(LocalAzureError):
    """The function app cannot be imported, indexed or loaded."""


class UnknownFunction(WorkerError):
    """No function has this name."""


@frozen(kw_only=True)
class Function:
    """A function as the worker indexed it. A binding is as in function.json: `type`, `name`, `direction`."""

    name: str
    id: str
    bindings: tuple[Mapping[str, Any], ...]

    @property
    def trigger(self) -> Mapping[str, Any]:
        """The binding that starts the function."""
        return next(binding for binding in self.bindings if is_trigger(binding))


@frozen(kw_only=True)
class Invocation:
    """The result of an invocation. `message` and `stack` describe the error, and are empty if there was none."""

    id: str
    succeeded: bool
    return_value: TypedData | None = None
    message: str = ""
    stack: str = ""


class Worker:
    """The app's functions, ready to be invoked; created by `Worker.start`."""

    def __init__(self, functions: tuple[Function, ...]) -> None:
        self.functions = functions
        self._by_name = {function.name: function for function in functions}
        self._running: dict[str, str] = {}

    @classmethod
    async def start(cls, root: Path) -> "Worker":
        """Import, index and load the app in the folder `root`, and start the pool that runs synchronous functions.

        The working directory becomes `root`, as in the real host. The script is named by the environment variable
        PYTHON_SCRIPT_FILE_NAME; the default is function_app.py.

        Raises:
            WorkerError: the script is missing, cannot be imported, or defines no function.
        """
        script = _enter_app_folder(root)
        init = await runtime.worker_init_request(
            _request("worker_init_request", capabilities={}, function_app_directory=str(script.parent))
        )
        _check(init.result, f"The function app {script} cannot be indexed")
        functions = await _index(script)
        runtime.start_threadpool_executor()
        return cls(functions)

    def stop(self) -> None:
        """Wait for running synchronous functions, and stop their thread pool."""
        runtime.stop_threadpool_executor()

    def function(self, name: str) -> Function:
        """Return the function of this name.

        Raises:
            UnknownFunction: there is none.
        """
        if name not in self._by_name:
            raise UnknownFunction(f"There is no function {name!r}: the app has {', '.join(sorted(self._by_name))}.")
        return self._by_name[name]

    @property
    def running(self) -> Mapping[str, str]:
        """The names of the running functions by invocation id."""
        return self._running

    async def invoke(
        self, name: str, data: TypedData, metadata: Mapping[str, TypedData] | None = None, trace_parent: str = ""
    ) -> Invocation:
        """Run a function with `data` for its trigger; log and return the result.

        Coroutines run in this event loop, other functions in the worker's threads.

        Raises:
            UnknownFunction: no function has this name.
        """
        function = self.function(name)
        invocation_id = str(uuid.uuid4())
        self._running[invocation_id] = name
        # The library sets the variable in its threads only; coroutines run in this context.
        token = runtime.invocation_id_cv.set(invocation_id)
        began = time.perf_counter()
        try:
            answer = await runtime.invocation_request(
                _invocation_request(function, invocation_id, data, metadata or {}, trace_parent)
            )
            return _to_invocation(answer, invocation_id, (time.perf_counter() - began) * 1e3)
        finally:
            runtime.invocation_id_cv.reset(token)
            del self._running[invocation_id]


def is_trigger(binding: Mapping[str, Any]) -> bool:
    """Return whether a binding starts its function."""
    return str(binding["type"]).lower().endswith("trigger")


def _enter_app_folder(root: Path) -> Path:
    """Make `root` the working directory and the first import path; return the app's script."""
    script = root.resolve() / os.environ.get("PYTHON_SCRIPT_FILE_NAME", DEFAULT_SCRIPT)
    if not script.is_file():  # the library would return no functions and no error
        raise WorkerError(
            f"There is no {script}: set PYTHON_SCRIPT_FILE_NAME to the file that defines the function app."
        )
    if sys.path[:1] != [str(script.parent)]:
        sys.path.insert(0, str(script.parent))
    os.chdir(script.parent)
    return script


async def _index(script: Path) -> tuple[Function, ...]:
    answer = await runtime.functions_metadata_request(_request("functions_metadata_request"))
    found = answer.function_metadata_results
    if not found:
        raise WorkerError(f"{script} defines no function: decorate at least one with a trigger.")
    for metadata in found:
        if metadata.retry_options is not None:
            raise WorkerError(f"Function {metadata.name} has a retry policy, which the local host does not support.")
        loaded = await runtime.function_load_request(
            _request("function_load_request", function_id=metadata.function_id, metadata=metadata)
        )
        _check(loaded.result, f"Function {metadata.name} cannot be loaded")
    return tuple(
        Function(
            name=metadata.name,
            id=metadata.function_id,
            bindings=tuple(json.loads(binding) for binding in metadata.raw_bindings),
        )
        for metadata in found
    )


def _request(kind: str, **fields: object) -> SimpleNamespace:
    return SimpleNamespace(
        request=SimpleNamespace(**{kind: SimpleNamespace(**fields)}),
        properties={"host": "127.0.0.1", "protos": messages},
    )


def _invocation_request(
    function: Function, invocation_id: str, data: TypedData, metadata: Mapping[str, TypedData], trace_parent: str
) -> SimpleNamespace:
    return _request(
        "invocation_request",
        invocation_id=invocation_id,
        function_id=function.id,
        input_data=[ParameterBinding(name=function.trigger["name"], data=data)],
        trigger_metadata=metadata,
        trace_context=SimpleNamespace(trace_parent=trace_parent, trace_state="", attributes={}),
        retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
    )


def _to_invocation(answer: messages.InvocationResponse, invocation_id: str, milliseconds: float) -> Invocation:
    if answer.result.status == StatusResult.Success:
        _log.info("Succeeded in %.0f ms.", milliseconds)
        return Invocation(id=invocation_id, succeeded=True, return_value=answer.return_value)
    error = answer.result.exception
    _log.error("Failed in %.0f ms: %s\n%s", milliseconds, error.message, error.stack_trace.rstrip())
    return Invocation(id=invocation_id, succeeded=False, message=error.message, stack=error.stack_trace)


def _check(result: StatusResult, failure: str) -> None:
    if result.status != StatusResult.Success:
        raise WorkerError(f"{failure}: {result.exception.message}\n{result.exception.stack_trace.rstrip()}")
