"""The files of the page: fixed ones, read once; no path comes from a client."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as packaged

from starlette.requests import Request
from starlette.responses import Response

from zsad.drawing.render import ANCHORS

SCRIPTS = ("main.js", "service.js", "state.js", "maps.js", "cards.js", "large.js", "table.js", "files.js")


@dataclass(frozen=True)
class PageFile:
    """A file of the page."""

    content: bytes
    media_type: str

    async def respond(self, _: Request) -> Response:
        """The file, for anyone."""
        return Response(self.content, media_type=self.media_type)


@cache
def files() -> Mapping[str, PageFile]:
    """The files by the paths that browsers ask for."""
    here, reports = packaged(__name__), packaged("zsad.reports").joinpath("templates")
    scale = ";".join(",".join(map(str, colour)) for colour in ANCHORS)
    page = here.joinpath("index.html").read_text(encoding="utf-8").replace("{{ scale }}", scale)
    style = reports.joinpath("page.css").read_bytes() + here.joinpath("page.css").read_bytes()
    found = {
        "/": PageFile(page.encode(), "text/html"),
        "/page.css": PageFile(style, "text/css"),
        "/favicon.ico": PageFile(here.joinpath("icon.svg").read_bytes(), "image/svg+xml"),
    }
    return found | {f"/{name}": PageFile(here.joinpath(name).read_bytes(), "text/javascript") for name in SCRIPTS}
