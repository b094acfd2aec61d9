"""The dashboard in a browser (the extra `web`, textual-serve): for this machine, and for whoever was given the address.

The page can start and delete trainings, so an address that can be reached is not enough: it carries a token that is made
anew each time, and pages of other origins are turned away (a browser lets any page open a websocket to this machine).
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import re
import secrets
import shlex
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp_jinja2
from aiohttp import web
from textual_serve.server import Server

from nanochat_framework.errors import UsageError

_FOREIGN_FONT = re.compile(r"<link[^>]*fonts\.googleapis\.com[^>]*>", re.DOTALL)
_OWN_FONT = (
    "<style>@font-face {{ font-family: 'Roboto Mono'; "
    "src: url('{static}fonts/RobotoMono-VariableFont_wght.ttf'); font-weight: 100 700; }}</style>"
)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(arguments: Sequence[str], *, host: str, port: int) -> None:
    """Serve `nanochat tui ARGUMENTS` until Ctrl-C, each page with a dashboard of its own.

    The address to open is the one line on stdout. Raises UsageError where the address cannot be had.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except (OSError, OverflowError) as error:
        raise UsageError(f"--web: {host}:{port}: {getattr(error, 'strerror', None) or error}") from None
    with listening:
        server = Dashboards(arguments, listening, host)
        if not is_loopback(host):
            print(
                f"warning: everybody who reaches {host}:{server.port} and learns of the address below can start and delete "
                "trainings here, and nothing is encrypted; `ssh -L` and --web without --host are safer",
                file=sys.stderr,
            )
        print(server.address, flush=True)
        print("Ctrl-C ends it; trainings go on", file=sys.stderr)
        logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
        web.run_app(server.application(), sock=listening, print=lambda *words: None)


class Dashboards(Server):
    """Textual's server, with a door."""

    def __init__(self, arguments: Sequence[str], listening: socket.socket, host: str) -> None:
        words = [sys.executable, "-m", "nanochat_framework", "tui", *arguments]
        port = listening.getsockname()[1]
        super().__init__(f"exec {shlex.join(words)}", host=host, port=port, title="nanochat")
        self.token = secrets.token_urlsafe(24)
        self._cookie = f"nanochat-{port}"  # cookies are shared by all ports of a machine

    @property
    def address(self) -> str:
        """What to open in a browser."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{name}:{self.port}/?token={self.token}"

    async def application(self) -> web.Application:
        """The application, guarded."""
        app: web.Application = await self._make_app()

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            return self._refused(request) or self._marked(request, await handler(request))

        app.middlewares.append(guard)
        return app

    async def on_startup(self, app: web.Application) -> None:
        """Say nothing; the address is told already."""

    def _refused(self, request: web.Request) -> web.Response | None:
        """None for who has the token and comes from a page of this address."""
        origin = request.headers.get("Origin")
        given = request.query.get("token") or request.cookies.get(self._cookie, "")
        why = ""
        if is_loopback(self.host) and not is_loopback(urlsplit(f"//{request.host}").hostname or ""):
            why = "This dashboard is for its own machine.\n"
        elif origin is not None and urlsplit(origin).netloc != request.host:
            why = "Another page may not use this dashboard.\n"
        elif not hmac.compare_digest(given.encode(), self.token.encode()):
            why = "Open the whole address that nanochat printed, its token included.\n"
        return web.Response(status=403, text=why) if why else None

    def _marked(self, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        """The page's answer with a cookie, which its further requests have instead of the token."""
        if request.path == "/":
            response.set_cookie(self._cookie, self.token, httponly=True, samesite="Strict")
        return response

    async def handle_index(self, request: web.Request) -> web.Response:
        """The page, whose parts come from where it was asked for (which may be the other end of `ssh -L`)."""
        static = f"http://{request.host}/static/"
        size = request.query.get("fontsize", "16")
        context: dict[str, Any] = {
            "font_size": int(size) if size.isdecimal() else 16,
            "app_websocket_url": f"ws://{request.host}/ws",
            "config": {"static": {"url": static}},
            "application": {"name": self.title},
        }
        page = aiohttp_jinja2.render_string("app_index.html", request, context)
        page = _FOREIGN_FONT.sub(_OWN_FONT.format(static=static), page)  # nobody else learns of it, nor is waited for
        return web.Response(text=page, content_type="text/html")
