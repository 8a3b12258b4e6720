"""Where the demo page is: in a checkout, or in the installed package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import notify

INSTALLED = Path(__file__).resolve().parent / "page"
"""Put there when the package is built."""


@dataclass(frozen=True, slots=True)
class Page:
    """The directory of the page, and the one with the stock client that it runs on."""

    directory: Path
    vendor: Path

    @classmethod
    def found(cls) -> Self | None:
        """That of the checkout we are in or run from, so that its changes are seen; else the package's."""
        here = Path.cwd()
        for directory in (here, *here.parents, Path(notify.__file__).resolve().parent.parent):
            if (directory / "client-demo" / "index.html").is_file():
                return cls(directory / "client-demo", directory / "node_modules/socket.io-client/dist")
        return cls(INSTALLED, INSTALLED / "vendor") if (INSTALLED / "index.html").is_file() else None
