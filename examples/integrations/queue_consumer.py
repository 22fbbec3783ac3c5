"""Act on Kedja's events from a storage queue, one at a time, however long that takes and however often this is restarted.

    python queue_consumer.py kedja-models          the queue that the subscription delivers to (docs/integrations.md)

STORAGE is a connection string, or the address of a queue service that your `az login` may read.
It needs azure-storage-queue, and azure-identity for an address.
"""

import base64
import json
import os
import sys
import time

from azure.core.exceptions import ResourceExistsError
from azure.storage.queue import QueueServiceClient

LEASE = 300  # seconds for one event; then someone else may take it
GIVE_UP = 5  # times


def service():
    storage = os.environ["STORAGE"]
    if not storage.startswith("https://"):
        return QueueServiceClient.from_connection_string(storage)
    from azure.identity import DefaultAzureCredential

    return QueueServiceClient(storage, DefaultAzureCredential())


def act(event):
    """Do what an event means to you. It may come twice, so do it in a way that may be repeated."""
    print(event["type"], event["subject"], json.dumps(event["data"].get("model")), flush=True)


def work(queue, dead):
    """Act on what is there now."""
    for message in queue.receive_messages(visibility_timeout=LEASE):
        try:
            act(json.loads(base64.b64decode(message.content)))
        except Exception as error:
            print(f"{message.id}: {error!r}", file=sys.stderr, flush=True)
            if message.dequeue_count < GIVE_UP:
                continue  # it comes again when the lease has run out
            dead.send_message(message.content)
        queue.delete_message(message)


def main(name):
    with service() as storage:
        queue, dead = storage.get_queue_client(name), storage.get_queue_client(f"{name}-dead")
        for one in (queue, dead):
            try:
                one.create_queue()
            except ResourceExistsError:
                pass
        while True:
            work(queue, dead)
            time.sleep(2)


if __name__ == "__main__":
    main(sys.argv[1])
