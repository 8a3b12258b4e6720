"""Runs beside the package that openapi-python-client made: posts with it, to the node at argv[1]."""

import sys

from notify_client.api.notifications import post_notification, post_notification_batch
from notify_client.models import Accepted, Batch, BatchResult, Notification, Target

from notify_client import AuthenticatedClient

client = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2])
answer = post_notification.sync(
    client=client,
    body=Notification(to=Target(user="ada"), title="by the client"),
    idempotency_key="generated",
)
assert isinstance(answer, Accepted), answer
batch = post_notification_batch.sync(
    client=client, body=Batch(notifications=[Notification(to=Target(room="lobby"), title="one of a batch")])
)
assert isinstance(batch, BatchResult), batch
refused = post_notification_batch.sync_detailed(
    client=client, body=Batch(notifications=[Notification(to=Target())])
)
assert refused.status_code == 422, refused
assert refused.parsed.results[0].error.code == "invalid", refused
print(answer.id)
