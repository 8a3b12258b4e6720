"""Every scenario rendered once for all tests here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.k8s import toolbox

Rendered = dict[str, Any]

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="session")
def versions() -> dict[str, dict[str, Rendered]]:
    """Each scenario as the oldest and as the newest Kubernetes gets it; rendered by real Helm."""
    wanted = [(path, version) for version in (toolbox.OLDEST, toolbox.NEWEST) for path in toolbox.SCENARIOS]
    answers = toolbox.ask(
        [
            {
                "do": "render",
                "chart": str(toolbox.CHART),
                "values": str(path),
                "set": {"kubeVersionOverride": f"{version}.0"},
            }
            for path, version in wanted
        ]
    )
    rendered: dict[str, dict[str, Rendered]] = {toolbox.OLDEST: {}, toolbox.NEWEST: {}}
    for (path, version), answer in zip(wanted, answers, strict=True):
        assert "error" not in answer, f"{path.stem}: {answer['error']}"
        rendered[version][path.stem] = answer["objects"]
    return rendered


@pytest.fixture(scope="session")
def scenarios(versions: dict[str, dict[str, Rendered]]) -> dict[str, Rendered]:
    """The objects of each scenario in k8s/notify/ci, by the path of their template."""
    return versions[toolbox.NEWEST]


@pytest.fixture(scope="session")
def render() -> Callable[..., Rendered]:
    """Render with these values; the objects, or RuntimeError with Helm's words."""

    def render_one(values: dict[str, Any], **options: Any) -> Rendered:
        job = {"do": "render", "chart": str(toolbox.CHART), "values": values, **options}
        (answer,) = toolbox.ask([job])
        if "error" in answer:
            raise RuntimeError(answer["error"])
        objects: Rendered = answer["objects"]
        return objects

    return render_one
