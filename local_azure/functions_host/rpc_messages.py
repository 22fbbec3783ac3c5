"""Plain classes in place of the messages of FunctionRpc.proto that `azure_functions_runtime` reads and writes.

The worker library takes its message classes from a module that is passed to it: this one. Source of the names:
azure-functions-language-worker-protobuf, `src/proto/FunctionRpc.proto`.
"""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any


class TypedData(SimpleNamespace):
    """A value and its kind: exactly one keyword of `string`, `bytes`, `json`, `http`, or none for no value."""

    def WhichOneof(self, _group: str) -> str | None:  # noqa: N802 - protobuf's name
        """Return the kind of the value, or None."""
        return next(iter(vars(self)), None)


class ParameterBinding(SimpleNamespace):
    """A value for a parameter: `name`, `data`."""

    name: str
    data: TypedData

    def WhichOneof(self, _group: str) -> str | None:  # noqa: N802 - protobuf's name
        """Return "data" if there is a value. Shared memory, the other kind, is not supported."""
        return "data" if hasattr(self, "data") else None


class RpcHttp(SimpleNamespace):
    """An HTTP request (method, url, headers, params, query, body) or response (status_code, headers, cookies, body)."""

    method: str
    url: str
    headers: Mapping[str, str]
    params: Mapping[str, str]
    query: Mapping[str, str]
    body: TypedData
    status_code: str
    cookies: "list[RpcHttpCookie] | None"


class RpcHttpCookie(SimpleNamespace):
    """A cookie of a response. Optional fields are None, or an object with `value`."""

    class SameSite:
        """The values of `same_site`."""

        Lax = 1
        Strict = 2
        ExplicitNone = 3

    name: str
    value: str
    domain: Any
    path: Any
    expires: Any
    secure: Any
    http_only: Any
    max_age: Any
    same_site: int


# The name of this member is a keyword in Python.
setattr(RpcHttpCookie.SameSite, "None", 0)


class StatusResult(SimpleNamespace):
    """The result of a request to the worker: `status`, and `exception` if it failed."""

    Failure = 0
    Success = 1
    Cancelled = 2

    status: int
    exception: "RpcException"


class RpcException(SimpleNamespace):
    """An exception as text."""

    message: str
    stack_trace: str


class BindingInfo(SimpleNamespace):
    """A binding of a function. The constants are directions and data types."""

    in_ = 0
    out = 1
    inout = 2
    undefined = 0
    string = 1
    binary = 2
    stream = 3


class RpcFunctionMetadata(SimpleNamespace):
    """A function as the worker indexed it. `raw_bindings` are JSON objects, as strings."""

    name: str
    function_id: str
    raw_bindings: list[str]
    retry_options: Any


class InvocationResponse(SimpleNamespace):
    """The response to an invocation. If the function failed, `result` says so; nothing is raised."""

    result: StatusResult
    return_value: TypedData | None
    output_data: list[ParameterBinding]


class FunctionMetadataResponse(SimpleNamespace):
    """The indexed functions; None if the script file is missing."""

    function_metadata_results: list[RpcFunctionMetadata] | None
    result: StatusResult


class WorkerInitResponse(SimpleNamespace):
    """Whether the app was imported and indexed."""

    result: StatusResult


class FunctionLoadResponse(SimpleNamespace):
    """Whether a function was loaded."""

    result: StatusResult


class WorkerMetadata(SimpleNamespace):
    """Version and name of the worker."""


class RpcRetryOptions(SimpleNamespace):
    """A retry decorator of a function."""


class NullableString(SimpleNamespace):
    """A string in `value`."""


class NullableBool(SimpleNamespace):
    """A Boolean in `value`."""


class NullableDouble(SimpleNamespace):
    """A number in `value`."""


class NullableTimestamp(SimpleNamespace):
    """A `Timestamp` in `value`."""


class Timestamp(SimpleNamespace):
    """Seconds since 1970 in `seconds`."""

    seconds: int
