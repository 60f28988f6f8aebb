"""The key manager as a small REST service with mutual TLS, as ETSI GS QKD 014 describes it."""

from __future__ import annotations

import json
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import time
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from qmarl.errors import ConfigurationError, UnreachableError
from qmarl.secure.certificates import check_files, common_name
from qmarl.secure.keys import KeyManager, KeyRequestError, container

_LARGEST_BODY = 2**16
_PATIENCE_S = 20.0
_PREFIX = ["", "api", "v1", "keys"]
_ENC_FIELDS = {
    "number",
    "size",
    "additional_slave_SAE_IDs",
    "extension_mandatory",
    "extension_optional",
}


@dataclass(frozen=True)
class TlsFiles:
    """Where one end's TLS credentials lie, in PEM.

    Attributes:
        authority: Certificate of who vouches for the other end.
        certificate: One's own.
        key: Its private key.
    """

    authority: Path
    certificate: Path
    key: Path

    def context(self, server: bool) -> ssl.SSLContext:
        """Returns a TLS 1.3 context that asks the other end for a certificate.

        Raises:
            ConfigurationError: A file is missing, malformed, out of date or another's.
        """
        check_files(self.certificate, self.key, self.authority)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(self.authority)
            context.load_cert_chain(self.certificate, self.key)
        except (ssl.SSLError, OSError) as error:
            raise ConfigurationError(
                f"'{self.certificate}' cannot be used for TLS: {error}"
            ) from None
        return context


class KeyServer:
    """Serves one manager's keys; the common name of a client's certificate is its SAE.

    Args:
        manager: Gives out the keys.
        files: The service's TLS credentials.
        address: Where it listens; by default this machine alone can reach it.
        port: TCP port; 0 takes a free one.
        max_clock_skew_s: Requests whose ``Date`` is further off are refused, so that what a log
            says of a key can be trusted.

    Raises:
        ConfigurationError: The credentials cannot be used.
        UnreachableError: It cannot listen there.
    """

    def __init__(
        self,
        manager: KeyManager,
        files: TlsFiles,
        address: str = "127.0.0.1",
        port: int = 0,
        max_clock_skew_s: float = 30.0,
    ) -> None:
        context = files.context(server=True)
        try:
            self._server = _Server((address, port), _Handler)
        except OSError as error:
            raise UnreachableError(
                f"the key service cannot listen on {address}:{port}: {error.strerror}"
            ) from None
        self._server.manager, self._server.context = manager, context
        self._server.max_clock_skew_s = max_clock_skew_s

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def serve(self) -> None:
        """Answers until :meth:`close` is called from another thread, or a signal comes."""
        self._server.serve_forever(poll_interval=0.2)

    def close(self) -> None:
        """Stops answering."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    manager: KeyManager
    context: ssl.SSLContext
    max_clock_skew_s: float

    def get_request(self) -> tuple[socket.socket, Any]:
        """Takes a connection; its handshake waits for its own thread, lest one stop all."""
        plain, where = super().get_request()
        plain.settimeout(_PATIENCE_S)
        wrapped = self.context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        return wrapped, where

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Says that a connection failed; a traceback could hold what was sent."""
        logging.getLogger(__name__).warning("a connection ended before its request was answered")


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "qmarl", ""

    def setup(self) -> None:
        super().setup()
        connection = self.connection
        assert isinstance(connection, ssl.SSLSocket)
        connection.do_handshake()
        self._caller = common_name(connection.getpeercert())

    def do_GET(self) -> None:
        """Answers with status or keys."""
        self._answer({})

    def do_POST(self) -> None:
        """Answers with keys."""
        try:
            body = self._body()
        except KeyRequestError as refusal:
            self._send(refusal.status, {"message": str(refusal), "details": []})
            return
        self._answer(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Logs nothing: requests name identifiers, and no line of a log needs them."""

    def _answer(self, body: dict[str, Any]) -> None:
        try:
            self._check_clock()
            status, answer = 200, self._routed(body)
        except KeyRequestError as refusal:
            status, answer = refusal.status, {"message": str(refusal), "details": []}
        logging.getLogger(__name__).info("%s %s: %d", self._caller, self.command, status)
        self._send(status, answer)

    def _routed(self, body: dict[str, Any]) -> dict[str, Any]:
        url = urlsplit(self.path)
        *prefix, peer, action = ["", *map(unquote, url.path.strip("/").split("/"))]
        routes: dict[str, Callable[[str, dict[str, Any]], dict[str, Any]]] = {
            "status": self._status,
            "enc_keys": self._enc_keys,
            "dec_keys": self._dec_keys,
        }
        if prefix != _PREFIX or action not in routes:
            raise KeyRequestError(400, "there is no such path; see /api/v1/keys/{SAE_ID}/status")
        asked = {name: values[-1] for name, values in parse_qs(url.query).items()}
        return routes[action](peer, {**asked, **body})

    def _status(self, peer: str, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        return self.server.manager.status(self._caller, peer)

    def _enc_keys(self, peer: str, asked: dict[str, Any]) -> dict[str, Any]:
        if strange := sorted(set(asked) - _ENC_FIELDS):
            raise KeyRequestError(400, f"unknown fields {strange}")
        if asked.get("additional_slave_SAE_IDs"):
            raise KeyRequestError(400, "additional_slave_SAE_IDs: keys are for two ends only")
        if asked.get("extension_mandatory"):
            raise KeyRequestError(400, "extension_mandatory: no extension is known here")
        number, size = _whole(asked, "number", 1), _whole(asked, "size", None)
        assert number is not None
        keys = self.server.manager.enc_keys(self._caller, peer, number, size)
        return _emptied(keys)

    def _dec_keys(self, peer: str, asked: dict[str, Any]) -> dict[str, Any]:
        wanted = asked.get("key_IDs", [{"key_ID": asked.get("key_ID")}])
        if not isinstance(wanted, list) or not all(isinstance(one, dict) for one in wanted):
            raise KeyRequestError(400, "key_IDs: a list of {'key_ID': UUID}")
        keys = self.server.manager.dec_keys(
            self._caller, peer, [one.get("key_ID", "") for one in wanted]
        )
        return _emptied(keys)

    def _check_clock(self) -> None:
        told = self.headers.get("Date")
        if told is None:
            return
        try:
            skew = abs(parsedate_to_datetime(told).timestamp() - time())
        except (TypeError, ValueError):
            raise KeyRequestError(400, "its Date is not a date") from None
        if skew > self.server.max_clock_skew_s:
            raise KeyRequestError(
                400,
                f"clock skew: the two clocks are {skew:.0f} s apart, at most "
                f"{self.server.max_clock_skew_s:g} s are allowed",
            )

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > _LARGEST_BODY:
            self.close_connection = True  # what follows is not read
            raise KeyRequestError(400, f"a body has at most {_LARGEST_BODY} bytes")
        try:
            body = json.loads(self.rfile.read(int(length)) or b"{}")
        except (ValueError, RecursionError):
            raise KeyRequestError(400, "the body is not JSON") from None
        if not isinstance(body, dict):
            raise KeyRequestError(400, "the body is not a JSON object")
        return body

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        raw = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(raw)


def _emptied(keys: Any) -> dict[str, Any]:
    """Returns the container of keys, and overwrites the keys."""
    answer = container(keys)
    for key in keys:
        key.wipe()
    return answer


def _whole(asked: dict[str, Any], name: str, default: int | None) -> int | None:
    value = asked.get(name, default)
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise KeyRequestError(400, f"{name}: a whole number is needed")
