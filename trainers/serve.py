"""``qmarl serve``: runs in a browser, behind a token, from a server that only ever reads.

Run directories may be a stranger's. The path of a request is looked up in a table of what is shown
and never joined to a directory; what stands in a run is escaped; and the browser is told to load
and run nothing but our own two files.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
import threading
from collections.abc import Sequence
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple, Self, final
from urllib.parse import parse_qs, urlsplit

from qmarl.errors import RunError, UnreachableError
from trainers import serve_pages as pages
from trainers.serve_shelf import Shelf

MOST_CONNECTIONS = 32
"""Connections at one time; more are closed at once."""
TIMEOUT_S = 15.0
"""Seconds that a browser may be silent."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_OURS = re.compile(r"/|/run/[0-9a-f]+/(report)?")
_NOWHERE = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
_POLICY = (
    f"{_NOWHERE}form-action 'self'; script-src 'self'; style-src 'self'; "
    "style-src-attr 'unsafe-inline'; img-src 'self'; connect-src 'self'"
)
_REPORT_POLICY = f"{_NOWHERE}form-action 'none'; img-src data:; style-src 'unsafe-inline'"


class Answer(NamedTuple):
    """What goes back to a browser."""

    body: bytes
    kind: str = "text/html; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK
    policy: str = _POLICY


@final
class Server:
    """Shows runs until it is closed.

    Args:
        paths: Run directories, or directories with runs in them.
        host: Address to listen at.
        port: Port; 0 for any free one.

    Raises:
        ConfigurationError: There is nothing to show.
        UnreachableError: The address is not this machine's, or the port is taken.
    """

    def __init__(self, paths: Sequence[Path], host: str = "127.0.0.1", port: int = 0) -> None:
        shelf = Shelf(paths)
        self.token = secrets.token_urlsafe(32)
        self._host = host
        try:
            self._http = _Http(host, port, _Site(shelf, self.token))
        except OSError as error:
            raise UnreachableError(
                f"serve: cannot listen at {host}, port {port} ({error.strerror or error}); "
                "choose another one with --port"
            ) from error

    @property
    def address(self) -> str:
        """What to open in a browser; whoever has it sees the runs."""
        return f"{self.root}?token={self.token}"

    @property
    def root(self) -> str:
        """The address without the token."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._http.server_address[1]}/"

    @property
    def private(self) -> bool:
        """Whether only this machine reaches it."""
        try:
            return ipaddress.ip_address(self._host).is_loopback
        except ValueError:
            return self._host == "localhost"

    def serve(self) -> None:
        """Answers until it is closed from another thread, or interrupted."""
        self._http.serve_forever(poll_interval=0.2)

    def stop(self) -> None:
        """Ends :meth:`serve`; called from another thread."""
        self._http.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.server_close()


@final
class _Site:
    """What is answered to whom; knows nothing of sockets."""

    def __init__(self, shelf: Shelf, token: str) -> None:
        self._shelf = shelf
        self._token = token
        self._session = secrets.token_urlsafe(32)
        self._drawn: dict[str, tuple[str, pages.Card]] = {}

    def knows(self, cookie: str, name: str) -> bool:
        """Whether a browser has shown the token before."""
        try:
            found = SimpleCookie(cookie).get(name)
        except CookieError:
            return False
        return found is not None and _same(found.value, self._session)

    def session(self, token: str) -> str | None:
        """The session's secret, for one who has the token."""
        return self._session if _same(token, self._token) else None

    def answer(self, path: str, seen: str) -> Answer:
        """Answers a request of one who may see everything.

        Args:
            path: Of the request.
            seen: Version of what the browser shows already.
        """
        if path in pages.STATIC:
            return Answer(*pages.static(path))
        if path == "/":
            return Answer(pages.index(self._cards()))
        if path == "/live":
            return _json(pages.index_parts(self._cards(), seen))
        match path.removeprefix("/run/").split("/"):
            case [name, part] if path.startswith("/run/"):
                return self._of_run(name, part, seen)
        return _missing()

    def _of_run(self, name: str, part: str, seen: str) -> Answer:
        try:
            look = self._shelf.look(name)
        except KeyError:
            return _missing()
        except (RunError, OSError) as error:
            if part == "live":
                return _json(pages.trouble_parts(str(error), seen))
            return Answer(pages.message("This run cannot be shown.", str(error)))
        match part:
            case "":
                return Answer(pages.run(look, name))
            case "live":
                return _json(pages.run_parts(look, name, seen))
            case "report":
                return Answer(pages.report_page(look), policy=_REPORT_POLICY)
            case "flight.gif" if look.record.flight:
                return Answer(look.record.flight, "image/gif")
        return _missing()

    def _cards(self) -> list[pages.Card]:
        return [self._card(name) for name in self._shelf.names()]

    def _card(self, name: str) -> pages.Card:
        try:
            look = self._shelf.look(name)
            if name not in self._drawn or self._drawn[name][0] != look.version:
                self._drawn[name] = look.version, pages.card(look, name)
            return self._drawn[name][1]
        except (RunError, OSError, KeyError) as error:
            return pages.broken(name, str(error))


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 32

    def __init__(self, host: str, port: int, site: _Site) -> None:
        self.site = site
        self.room = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Binds without asking a name server who we are."""
        socket.socket.bind(self.socket, self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "qmarl", self.server_address[1]

    def process_request(self, request: object, client_address: object) -> None:
        if not self.room.acquire(blocking=False):
            self.shutdown_request(request)  # type: ignore[arg-type] # a socket
            return
        super().process_request(request, client_address)  # type: ignore[arg-type] # as above

    def process_request_thread(self, request: object, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self.room.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away in the middle is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    timeout = TIMEOUT_S
    server_version = "qmarl"
    sys_version = ""

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(asked.query).items()}
        site, name = self.server.site, f"qmarl_{self.server.server_port}"
        if "token" in query and (session := site.session(query["token"])):
            cookie = f"{name}={session}; HttpOnly; SameSite=Strict; Path=/"
            there = asked.path if _OURS.fullmatch(asked.path) else "/"
            self._send(Answer(b"", status=HTTPStatus.SEE_OTHER), there, cookie)
        elif site.knows(self.headers.get("Cookie", ""), name):
            self._send(_guarded(site, asked.path, query.get("seen", "")))
        elif asked.path in pages.STATIC:
            self._send(Answer(*pages.static(asked.path)))  # no secret, and the door needs it
        else:
            self._send(Answer(pages.door("token" in query), status=HTTPStatus.UNAUTHORIZED))

    def _send(self, answer: Answer, location: str = "", cookie: str = "") -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Content-Security-Policy", answer.policy)
        for header, value in _HEADERS.items():
            self.send_header(header, value)
        if location:
            self.send_header("Location", location)
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Says nothing: a log would hold tokens."""


def _guarded(site: _Site, path: str, seen: str) -> Answer:
    try:
        return site.answer(path, seen)
    except Exception as error:  # one page that cannot be drawn must not end the others
        body = pages.message("This page could not be drawn.", type(error).__name__)
        return Answer(body, status=HTTPStatus.INTERNAL_SERVER_ERROR)


def _same(given: str, wanted: str) -> bool:
    """Compares in constant time; ``compare_digest`` takes text of ASCII alone."""
    return secrets.compare_digest(given.encode(errors="replace"), wanted.encode())


def _json(body: bytes) -> Answer:
    return Answer(body, "application/json")


def _missing() -> Answer:
    return Answer(pages.message("There is no such page.", ""), status=HTTPStatus.NOT_FOUND)
