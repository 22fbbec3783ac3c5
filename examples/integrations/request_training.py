"""Ask Kedja for a training of what lies in an experiment's folders: a CloudEvent, POSTed.

    python request_training.py digits epochs=20

KEDJA_URL is the service's address, KEDJA_KEY a key of Kedja's that is not limited to some experiments.
"""

import json
import os
import sys
import urllib.request
import uuid


def request(experiment, arguments):
    event = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": "/examples/request_training",
        "type": "Kedja.TrainingRequested",
        "datacontenttype": "application/json",
        "data": {"experiment_name": experiment, "kedja": {"arguments": arguments}},
    }
    headers = {"Content-Type": "application/cloudevents+json", "X-Kedja-Key": os.environ.get("KEDJA_KEY", "")}
    address = f"{os.environ.get('KEDJA_URL', 'http://127.0.0.1:7071')}/api/events"
    sent = urllib.request.Request(address, json.dumps(event).encode(), headers, method="POST")
    with urllib.request.urlopen(sent, timeout=60) as answer:
        return json.load(answer)


if __name__ == "__main__":
    print(request(sys.argv[1], dict(pair.split("=", 1) for pair in sys.argv[2:])))
