"""Chainer's Caffe messages on protobuf 4 and newer, which refuses code that protoc made before 3.19."""

import ast
import contextlib
from collections.abc import Iterator
from importlib import import_module
from types import CodeType, ModuleType

_LAST_TO_ACCEPT = 3


@contextlib.contextmanager
def rebuild_messages(module: ModuleType) -> Iterator[None]:
    """Build the module's messages from its serialized description, as code that today's protoc makes does."""
    spec = module.__spec__
    version = str(import_module("google.protobuf").__version__)
    if int(version.partition(".")[0]) <= _LAST_TO_ACCEPT or spec is None or spec.loader is None:
        yield
        return
    loader = spec.loader
    description = _serialized_description(loader.get_source(spec.name))  # type: ignore[attr-defined] # a source file's
    loader.get_code = _no_code  # type: ignore[attr-defined]
    yield
    builder = import_module("google.protobuf.internal.builder")
    names = vars(module)
    names["DESCRIPTOR"] = import_module("google.protobuf.descriptor_pool").Default().AddSerializedFile(description)
    builder.BuildMessageAndEnumDescriptors(names["DESCRIPTOR"], names)
    builder.BuildTopDescriptorsAndMessages(names["DESCRIPTOR"], spec.name, names)


def _serialized_description(source: str) -> bytes:
    """Return the argument `serialized_pb` of the file's descriptor: a string with one character for each byte."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg == "serialized_pb" and isinstance(node.value, ast.Call):
            return str(ast.literal_eval(node.value.args[0])).encode("latin-1")
    raise ImportError("chainer's caffe_pb2.py has no serialized_pb: Chainer 7.8.1 is expected")


def _no_code(name: str) -> CodeType:
    return compile("", name, "exec")
