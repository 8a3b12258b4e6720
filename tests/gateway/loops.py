"""Running a test on asyncio's own loop and on uvloop."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run the coroutine function once on each loop; fail it for what the loop reports and for tasks left."""

    @functools.wraps(test)
    def run(*, loop_name: str, **fixtures: Any) -> None:
        reports: list[dict[str, Any]] = []

        async def watched() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))
            await test(**fixtures)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks left: {left}"

        with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
            runner.run(watched())
        assert not reports, reports

    signature = inspect.signature(test)
    name = inspect.Parameter("loop_name", inspect.Parameter.KEYWORD_ONLY)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), name])  # type: ignore[attr-defined]
    on_each: Callable[..., None] = pytest.mark.parametrize("loop_name", LOOPS)(run)
    return on_each
