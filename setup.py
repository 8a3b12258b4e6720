"""Puts into what is built what lives elsewhere: the bell that nodes serve, the page of `notify dev`, and what
shows /docs.

Bell and page live in client-demo/, where people read them; the stock client that the page runs on comes from
npm, and so does the library of /docs. Where one is missing, as the page is in the build of the image, which
serves none, it is left out.
"""

from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
DEMO = HERE / "client-demo"
CLIENT = HERE / "node_modules" / "socket.io-client" / "dist"
PLACE = Path("notify", "cli", "devserver", "page")
BELL = Path("notify", "gateway", "http", "client")
"""Where every node finds what it serves to browsers."""
REFERENCE = HERE / "docs" / "reference" / "dist" / "scalar.js.gz"
STATIC = Path("notify", "ingest", "static")
PARTS = ("index.html", "page/*.js", "style/*.css", "inbox/*.js", "inbox/*.css")
VENDORED = ("socket.io.min.js", "socket.io.esm.min.js", "socket.io.min.js.map", "socket.io.esm.min.js.map")


class BuildWithPages(build_py):
    """setuptools' own step, and the pages."""

    def run(self) -> None:
        """Build the packages; then copy the rest, unless they are only linked to (`pip install -e`)."""
        super().run()
        if not self.editable_mode:
            for name in ("inbox.js", "element.js"):
                self._add(DEMO / "inbox" / name, BELL / name)
            self._add_page()
            self._add_reference()

    def _add_page(self) -> None:
        if not (DEMO / "index.html").is_file() or not (CLIENT / VENDORED[0]).is_file():
            self.warn("the demo page is left out: client-demo/ or the stock client (`npm ci`) is not here")
            return
        for part in PARTS:
            for file in sorted(DEMO.glob(part)):
                self._add(file, PLACE / file.relative_to(DEMO))
        for name in VENDORED:
            self._add(CLIENT / name, PLACE / "vendor" / name)

    def _add_reference(self) -> None:
        if REFERENCE.is_file():
            self._add(REFERENCE, STATIC / REFERENCE.name)
        else:
            self.warn("/docs will be a plain page: its library (`node docs/reference/fetch.mjs`) is not here")

    def _add(self, file: Path, to: Path) -> None:
        target = Path(self.build_lib, to)
        self.mkpath(str(target.parent))
        self.copy_file(str(file), str(target))


setup(cmdclass={"build_py": BuildWithPages})
