"""Inputs that are right, to be made wrong: recorded events, and the job.yaml of the documentation."""

import json
import re
from pathlib import Path

import yaml

RECORDED = [json.loads(path.read_text()) for path in sorted(Path("tests/events").glob("*.json"))]
EVENTS = [event for recorded in RECORDED for event in (recorded if isinstance(recorded, list) else [recorded])]

DOCUMENTED = re.findall(r"```yaml\n(.*?)```", Path("docs/job-yaml.md").read_text(), re.DOTALL)
VALUES = [value for text in DOCUMENTED if isinstance(value := yaml.safe_load(text), dict)]
