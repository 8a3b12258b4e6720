"""A small team's task list, the whole of it: FastAPI here, React in web/, notify for what others should know.

Where notify comes in:

- `Notifier` posts what happened, after the answer to the browser: nobody waits for it, and it does not make a
  task fail. The client tries again by itself; the idempotency key makes it one notification all the same.
- When a task is done, what told of it is read: the bell of whoever did it need not say so any longer.
- `/api/token` gives the browser of whoever is signed in a token to connect to notify with.

Settings: NOTIFY_URL and NOTIFY_API_KEY (read by the client), NOTIFY_JWT_SECRET (the servers' own), and
CLIENTS_URL, where browsers reach notify. Sessions and tasks are kept in memory: that part is not the example.
"""

from __future__ import annotations

import itertools
import logging
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from fastapi import BackgroundTasks, Cookie, Depends, FastAPI, HTTPException, Request, Response
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, StringConstraints

from notify_client import AsyncNotify, NotifyError, tokens

WEB = Path(__file__).parent / "dist"
TOKEN_LIFE = timedelta(minutes=15)
"""Short: a browser asks for the next one before it ends, as long as its session lives."""
SESSION = "session"

log = logging.getLogger("tasks")

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, to_lower=True, pattern=r"^[a-z][a-z0-9-]{0,30}$")
]
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class SignIn(BaseModel):
    """Who somebody says they are. A real application asks for more."""

    name: Name


class NewTask(BaseModel):
    """A task as it is posted."""

    title: Title
    assignee: Name


@dataclass
class Task:
    """One task."""

    id: int
    title: str
    creator: str
    assignee: str
    done: bool = False
    notification: str | None = field(default=None, repr=False)
    """The id of the one that told the assignee."""


@dataclass
class Store:
    """What a database would hold."""

    sessions: dict[str, str] = field(default_factory=dict)
    tasks: dict[int, Task] = field(default_factory=dict)
    ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))


class Notifier:
    """Tells people what happened."""

    def __init__(self, notify: AsyncNotify) -> None:
        self._notify = notify

    async def assigned(self, task: Task) -> None:
        """To whom it was given."""
        task.notification = await self._tell(
            task.assignee, f"{task.creator.title()} gave you a task", task, event="assigned"
        )

    async def done(self, task: Task) -> None:
        """To whoever gave it; and the one who did it has read of it."""
        await self._tell(task.creator, f"{task.assignee.title()} is done", task, event="done")
        if task.notification is None:
            return
        try:
            await self._notify.inbox(task.assignee).mark("read", [task.notification])
        except NotifyError as error:
            log.error("what told of task %d was not marked: %s", task.id, error)

    async def _tell(self, user: str, title: str, task: Task, *, event: str) -> str | None:
        """The notification's id; None when it could not be sent."""
        try:
            sent = await self._notify.send(
                to={"user": user},
                title=title,
                body=task.title,
                url=f"/#task-{task.id}",
                category="tasks",
                data={"task": task.id, "event": event},
                idempotency_key=f"task-{task.id}-{event}",
            )
        except NotifyError as error:
            log.error("nobody was told that task %d is %s: %s", task.id, event, error)
            return None
        return sent.id


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One client for the process; a minute of patience, since nobody waits for it."""
    async with AsyncNotify(deadline_s=60) as notify:
        app.state.store = Store()
        app.state.notifier = Notifier(notify)
        yield


app = FastAPI(title="Tasks", lifespan=lifespan)


def store(request: Request) -> Store:
    """The store of this process."""
    found: Store = request.app.state.store
    return found


def notifier(request: Request) -> Notifier:
    """The notifier of this process."""
    found: Notifier = request.app.state.notifier
    return found


def user(kept: Annotated[Store, Depends(store)], session: Annotated[str, Cookie()] = "") -> str:
    """Who asks. 401 for nobody."""
    if session not in kept.sessions:
        raise HTTPException(401, "Sign in first")
    return kept.sessions[session]


Kept = Annotated[Store, Depends(store)]
Tell = Annotated[Notifier, Depends(notifier)]
User = Annotated[str, Depends(user)]


@app.post("/api/session", status_code=204)
async def sign_in(body: SignIn, kept: Kept, response: Response) -> None:
    """Begin a session."""
    session = secrets.token_urlsafe(24)
    kept.sessions[session] = body.name
    response.set_cookie(SESSION, session, httponly=True, samesite="strict")


@app.delete("/api/session", status_code=204)
async def sign_out(kept: Kept, response: Response, session: Annotated[str, Cookie()] = "") -> None:
    """End it: no further token is given to this browser."""
    kept.sessions.pop(session, None)
    response.delete_cookie(SESSION)


@app.get("/api/me")
async def me(who: User) -> dict[str, str]:
    """Who is signed in, and where this browser finds notify."""
    return {"user": who, "notify": os.environ.get("CLIENTS_URL", "http://localhost:8080")}


@app.get("/api/token")
async def token(who: User, response: Response) -> dict[str, str]:
    """A token for the signed-in user's browser."""
    response.headers["Cache-Control"] = "no-store"
    return {"token": tokens.sign(os.environ["NOTIFY_JWT_SECRET"], who, expires_in=TOKEN_LIFE)}


@app.get("/api/tasks")
async def tasks(who: User, kept: Kept) -> list[dict[str, Any]]:
    """What is to be done by this user, or was given out by them; the newest first."""
    mine = [task for task in kept.tasks.values() if who in (task.creator, task.assignee)]
    return [asdict(task) for task in reversed(mine)]


@app.post("/api/tasks", status_code=201)
async def add(body: NewTask, who: User, kept: Kept, tell: Tell, later: BackgroundTasks) -> dict[str, Any]:
    """Give somebody a task."""
    task = Task(next(kept.ids), body.title, creator=who, assignee=body.assignee)
    kept.tasks[task.id] = task
    if task.assignee != who:
        later.add_task(tell.assigned, task)
    return asdict(task)


@app.post("/api/tasks/{task_id}/done")
async def finish(task_id: int, who: User, kept: Kept, tell: Tell, later: BackgroundTasks) -> dict[str, Any]:
    """Mark one's own task as done."""
    task = kept.tasks.get(task_id)
    if task is None or task.assignee != who:
        raise HTTPException(404, "You have no such task")
    if not task.done:
        task.done = True
        if task.creator != who:
            later.add_task(tell.done, task)
    return asdict(task)


app.mount("/", StaticFiles(directory=WEB, html=True, check_dir=False))
