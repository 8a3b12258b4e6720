"""Runs beside the models that datamodel-code-generator made: posts what they make, to the node at argv[1]."""

import sys

import httpx
from notify_models import Accepted, Notification, Target

notification = Notification(to=Target(user="ada"), title="by the models", data={"build": 812})
answer = httpx.post(
    sys.argv[1] + "/v1/notifications",
    content=notification.model_dump_json(exclude_none=True),
    headers={"Authorization": f"Bearer {sys.argv[2]}", "Content-Type": "application/json"},
)
assert answer.status_code == 202, answer.text
print(Accepted.model_validate_json(answer.content).id)
