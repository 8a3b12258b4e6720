"""The answer to bytes that are no HTTP request: a problem with an id, like every answer on this port."""

from __future__ import annotations

from aiohttp import web

from notify.domain.errors import BadRequest, HeadTooLarge, NotifyError
from notify.ingest.http.problems import render
from notify.ingest.http.request_ids import REQUEST_ID, RequestIds
from notify.ingest.stats import IngestStats

ROUTE = "malformed"
"""What such requests are counted under."""


class MalformedRequests:
    """Renders the answers. Nothing of what came is repeated in them."""

    def __init__(self, *, stats: IngestStats, ids: RequestIds) -> None:
        self._stats = stats
        self._ids = ids

    def answer(self, status: int) -> web.Response:
        """The answer with this status: 400, 431, or one from 500 on for a fault of ours."""
        error: NotifyError
        if status == BadRequest.status:
            error = BadRequest("This is not a valid HTTP request (RFC 9112)")
        elif status == HeadTooLarge.status:
            error = HeadTooLarge("The request line and the headers are too long")
        else:
            error = NotifyError("unhandled")
        response = render(error)
        response.headers[REQUEST_ID] = self._ids.new()
        self._stats.requests[ROUTE, response.status] += 1
        self._stats.errors[error.code] += 1
        return response
