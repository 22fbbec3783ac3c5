"""Tell a repository on GitHub of a registered model, so that a workflow runs: call `dispatch` from a webhook or Function.

GITHUB_TOKEN is a fine-grained token with *Contents: write* on that one repository.
https://docs.github.com/rest/repos/repos#create-a-repository-dispatch-event
"""

import json
import os
import urllib.request

API = os.environ.get("GITHUB_API", "https://api.github.com")


def dispatch(event, repository):
    """Send a CloudEvent of Kedja's as `kedja-model-registered`. GitHub takes ten keys at most."""
    model = event["data"]
    payload = {name: model[name] for name in ("model", "version", "manifest", "champion", "metrics", "experiment")}
    request = urllib.request.Request(
        f"{API}/repos/{repository}/dispatches",
        data=json.dumps({"event_type": "kedja-model-registered", "client_payload": payload}).encode(),
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}",
            "Content-Type": "application/json",
        },
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.status
