"""The client itself: how it is set up, what it shows of itself, what it is made of."""

from __future__ import annotations

import inspect
import logging
import pickle
import subprocess
import sys
import traceback
from pathlib import Path

import httpx
import pytest

import notify_client
from notify.domain import errors
from notify_client import AsyncNotify, Invalid, Misconfigured, Notify, NotifyError, Unavailable, Unreachable
from notify_client.errors import FieldError, kind_of
from notify_client.exchange import Fault, Reply, Request
from notify_client.retries import Policy, exchange
from tests.python_client.server import Answer, Reset, Step, problem, serving
from tests.support.tokens import API_KEY

PRIVATE = "a private matter"
SECRET = "sk-very-secret-0123456789abcdef"


def test_it_reads_the_environment(monkeypatch: pytest.MonkeyPatch):
    with serving() as server:
        monkeypatch.setenv("NOTIFY_URL", server.url + "/")
        monkeypatch.setenv("NOTIFY_API_KEY", API_KEY + "\n")
        with Notify() as notify:
            notify.send(to={"user": "42"})
    assert server.came[0].path == "/v1/notifications"
    assert server.came[0].headers["authorization"] == f"Bearer {API_KEY}"


@pytest.mark.parametrize("kind", [Notify, AsyncNotify])
@pytest.mark.parametrize(
    ("url", "key", "says"),
    [
        (None, API_KEY, "NOTIFY_URL"),
        ("http://localhost:8081", None, "NOTIFY_API_KEY"),
        ("localhost:8081", API_KEY, "must begin with http:// or https://"),
        ("http://localhost:port", API_KEY, "NOTIFY_URL"),
        ("http://me:pass@localhost", API_KEY, "must not carry a name or password"),
        ("http://localhost/?a=b", API_KEY, "must end before"),
        ("http://localhost", "two words", "NOTIFY_API_KEY"),
        ("http://localhost", "schlüssel-0123456789", "NOTIFY_API_KEY"),
    ],
)
def test_what_is_set_up_wrongly_is_told_with_its_name(kind, url, key, says, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NOTIFY_URL", raising=False)
    monkeypatch.delenv("NOTIFY_API_KEY", raising=False)
    with pytest.raises(Misconfigured) as raised:
        kind(url, api_key=key)
    assert says in str(raised.value)
    assert "pass" not in str(raised.value).replace("password", "")


def test_nothing_secret_is_logged_shown_or_raised(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    shown = ""
    steps: list[Step] = [
        Reset(),
        Answer(503, problem(503, "unavailable")),
        Answer(401, problem(401, "unauthorized")),
    ]
    with serving(*steps) as server, Notify(server.url, api_key=SECRET) as notify:
        shown += repr(notify) + repr(vars(notify))
        with pytest.raises(NotifyError) as raised:
            notify.send(to={"user": "42"}, title=PRIVATE)
        shown += "".join(traceback.format_exception(raised.value)) + repr(raised.value)
    assert len(server.came) == 3
    with Notify("http://127.0.0.1:1", api_key=SECRET, deadline_s=0.3) as notify:
        with pytest.raises(Unreachable) as raised:
            notify.send(to={"user": "42"}, title=PRIVATE)
        shown += "".join(traceback.format_exception(raised.value)) + repr(raised.value)
    logged = "\n".join(record.getMessage() + repr(record.args) for record in caplog.records)
    assert "attempt 2 follows" in logged
    for secret in (SECRET, PRIVATE):
        assert secret not in logged
        assert secret not in shown


def test_both_clients_have_the_same_names_and_arguments():
    for sync, aio in (
        (Notify, AsyncNotify),
        (notify_client.Inbox, notify_client.AsyncInbox),
        (notify_client.Rooms, notify_client.AsyncRooms),
    ):
        names = [name for name in vars(sync) if not name.startswith("_")]
        assert names == [name for name in vars(aio) if not name.startswith("_")]
        for name in names:
            ours, theirs = inspect.signature(getattr(sync, name)), inspect.signature(getattr(aio, name))
            assert list(ours.parameters.values()) == list(theirs.parameters.values())
            assert ours.return_annotation == theirs.return_annotation.replace("Async", "")
            assert inspect.getdoc(getattr(sync, name))


def test_every_error_that_a_node_answers_with_has_its_class():
    def below(error: type[errors.NotifyError]) -> list[type[errors.NotifyError]]:
        return [error, *(deeper for lower in error.__subclasses__() for deeper in below(lower))]

    answered = [error for error in below(errors.NotifyError)[1:] if error.__module__ == errors.__name__]
    assert len(answered) > 10
    for error in answered:
        found = kind_of(error.code, error.status)
        if not error.code.startswith("token_"):  # those are for clients' sockets
            assert (found.code, found.__name__) == (error.code, error.__name__)
        assert found.retryable == error.retryable
        assert found.__name__ in notify_client.__all__


def test_answers_and_errors_travel_between_processes():
    error = Invalid("no", status=422, errors=[FieldError("/to", "is wrong")], request_id="req-1")
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), back.errors, back.status, str(back)) == (Invalid, error.errors, 422, str(error))


def test_answers_are_frozen():
    with serving() as server, Notify(server.url, api_key=API_KEY) as notify:
        sent = notify.send(to={"user": "42"})
    with pytest.raises(AttributeError):
        sent.id = "another"  # type: ignore[misc]  # it is what must fail


def test_an_httpx_client_of_ones_own_is_used_and_stays_open():
    asked: list[httpx.Request] = []
    with serving() as server, httpx.Client(event_hooks={"request": [asked.append]}) as http:
        with Notify(server.url, api_key=API_KEY, http=http) as notify:
            notify.send(to={"user": "42"})
        assert not http.is_closed
    assert len(asked) == 1


def test_it_needs_httpx_and_nothing_else(tmp_path: Path):
    """Its import pulls in neither notify nor anything that httpx does not."""
    code = (
        "import sys, httpx; before = set(sys.modules); import notify_client;"
        "more = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "more -= set(sys.stdlib_module_names);"
        "print(sorted(more))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['notify_client']"


class Clock:
    """A clock that the waits move on, so that the policy is tested and not the machine."""

    def __init__(self) -> None:
        self.now = 1000.0


def driven(answers: list[Reply | Fault], **policy: float) -> list[float]:
    """The waits before each attempt, until the operation ends."""
    clock = Clock()
    operation = exchange(
        Request(name="send", method="POST", path="/"),
        Policy(now=lambda: clock.now, jitter=lambda: 1.0, **policy),
    )
    waits: list[float] = []
    attempt = next(operation)
    try:
        for answer in answers:
            waits.append(attempt.wait_s)
            clock.now += attempt.wait_s
            assert clock.now + attempt.timeout_s <= 1000.0 + policy.get("deadline_s", 30.0) + 1e-9
            attempt = operation.send(answer)
    except StopIteration:
        return waits
    except NotifyError:
        return [*waits, -1]
    raise AssertionError("it did not end")


def reply(status: int, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, headers=named, body=b"{}")


def test_waits_double_up_to_their_bound():
    fault = Fault(error=Unreachable("gone"))
    waits = driven([fault] * 9 + [reply(202)], deadline_s=100)
    assert waits == pytest.approx([0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5])


def test_retry_after_in_seconds_and_as_a_date_is_waited_for():
    dated = reply(503, date="Mon, 23 Nov 2026 09:30:00 GMT", retry_after="Mon, 23 Nov 2026 09:30:07 GMT")
    waits = driven([reply(503, retry_after="2"), dated, reply(503, retry_after="soon"), reply(202)])
    assert waits == pytest.approx([0, 2.1, 7.2, 0.4])


def test_a_deadline_ends_it_before_the_wait_that_would_cross_it():
    fault = Fault(error=Unavailable("busy"))
    assert driven([fault] * 50, deadline_s=1.0) == pytest.approx([0, 0.1, 0.2, 0.4, -1])
