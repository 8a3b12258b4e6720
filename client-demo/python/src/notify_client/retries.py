"""When a call is tried again, and when it is given up."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from notify_client.errors import NotifyError
from notify_client.exchange import Attempt, Fault, Operation, Reply, Request, error_of

log = logging.getLogger("notify_client")

TIMEOUT_S = 10.0
DEADLINE_S = 30.0
SHORTEST_ATTEMPT_S = 0.05
"""With less time than this left, nothing is begun any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How patient a client is. Durations are seconds."""

    timeout_s: float = TIMEOUT_S
    """For one attempt."""
    deadline_s: float = DEADLINE_S
    """For a call with all its attempts, and the waiting between them."""
    first_backoff_s: float = 0.1
    max_backoff_s: float = 5.0
    now: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random
    """From 0 to 1: without it, all that failed together would come back together."""

    def wait_s(self, failures: int, retry_after_s: float | None) -> float:
        """How long to wait after so many failures: what the server asked for, and on top a random part."""
        backoff = min(self.max_backoff_s, self.first_backoff_s * float(1 << min(failures - 1, 30)))
        return (retry_after_s or 0.0) + backoff * self.jitter()


def exchange(
    request: Request, policy: Policy, judge: Callable[[Reply], NotifyError | None] = error_of
) -> Operation[Reply]:
    """The first reply in which `judge` finds no error. Raises the last error when time is up.

    Every request that comes here may be repeated: it changes nothing, or the same thing, or it carries an
    idempotency key.
    """
    deadline = policy.now() + policy.deadline_s
    failures = 0
    wait_s = 0.0
    while True:
        left_s = deadline - policy.now() - wait_s
        answer = yield Attempt(request=request, wait_s=wait_s, timeout_s=min(policy.timeout_s, left_s))
        error = answer.error if isinstance(answer, Fault) else judge(answer)
        if error is None:
            assert isinstance(answer, Reply)  # noqa: S101 - a fault always has an error
            return answer
        failures += 1
        wait_s = policy.wait_s(failures, error.retry_after_s)
        if not error.retryable or policy.now() + wait_s + SHORTEST_ATTEMPT_S > deadline:
            if failures > 1:
                error.add_note(f"Given up after {failures} attempts.")
            raise error
        log.info("%s: %s; attempt %d follows in %.2f s", request.name, error.code, failures + 1, wait_s)
