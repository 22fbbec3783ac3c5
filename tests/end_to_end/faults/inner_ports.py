"""The ports behind the doors."""

import contextlib
import socket
from collections.abc import Iterator

from attrs import fields_dict, frozen


@frozen(kw_only=True)
class InnerPorts:
    """Ports behind the doors, and the doors that everybody trusted goes through."""

    queue: int
    mlflow: int
    event_grid: int
    host: int
    training: int
    plain_blob: int
    plain_queue: int

    @classmethod
    def of(cls, ports: Iterator[int]) -> "InnerPorts":
        """Take the next ports, one for each."""
        return cls(**{name: next(ports) for name in fields_dict(cls)})


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(contextlib.closing(socket.socket())) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def url_of(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
