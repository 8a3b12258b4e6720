"""Packages the chart with Helm's own code, which lives in .venv-k8s.

python -m tests.k8s.package dist --home-url https://git.example.org/notify --image registry.example.org/notify
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from pathlib import Path

from tests.k8s import toolbox

PLACEHOLDER = "https://example.com/notify"
"""In Chart.yaml, where the repository's address goes."""


def package(destination: Path, *, home_url: str = "", image: str = "") -> Path:
    """Write the chart's archive into this directory; its path. Raises RuntimeError with Helm's words.

    `home_url` is where the repository is to be read, `image` what the chart starts unless told otherwise.
    The repository knows neither: whoever publishes does. Empty ones leave the chart as it is.
    """
    destination.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        chart = Path(shutil.copytree(toolbox.CHART, Path(directory) / toolbox.CHART.name))
        if home_url:
            description = chart / "Chart.yaml"
            description.write_text(description.read_text().replace(PLACEHOLDER, home_url.rstrip("/")))
        if image:
            values = chart / "values.yaml"
            pattern = re.compile(r"^  repository: notify$", re.MULTILINE)
            text, count = pattern.subn(f"  repository: {image}", values.read_text())
            assert count == 1, "image.repository has moved"
            values.write_text(text)
        (answer,) = toolbox.ask(
            [{"do": "package", "chart": str(chart), "destination": str(destination.resolve())}]
        )
    if isinstance(answer, dict):
        raise RuntimeError(answer["error"])
    return Path(answer)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("destination", type=Path)
    parser.add_argument("--home-url", default="")
    parser.add_argument("--image", default="")
    print(package(**vars(parser.parse_args())))
