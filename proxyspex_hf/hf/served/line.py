"""One inference server over HTTP: what it answers is bounded, parsed and told in words.

Nothing that is sent or received is ever logged, and no error quotes what was sent.
"""

from __future__ import annotations

import ipaddress
import ssl
import threading
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from time import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from proxyspex_hf.checks import quoted
from proxyspex_hf.errors import InputError, ModelError, SchemaError
from proxyspex_hf.hf.failures import causes, first_line
from proxyspex_hf.hf.served.deadline import Deadline
from proxyspex_hf.record.json_reader import parsed

if TYPE_CHECKING:
    import httpx2


#: Bytes of one answer: 32,000 tokens with their texts take some 4 MB. Convention.
_MOST_BYTES = 64 * 2**20
#: Seconds to wait for a connection: convention.
_CONNECT = 10.0
#: Answers after which another try may help: it was busy, starting, or behind a gateway that was.
TRANSIENT = (408, 429)
#: Above 500, but never another answer: the method or the protocol is unknown there.
_NOT_KNOWN = (501, 505)
#: Characters of a server's own words that an error repeats: convention.
_QUOTED = 200
#: How OpenSSL says that what answers does not speak TLS at all.
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL")


class Refused(ModelError):  # noqa: N818 - what the server did, for those who ask
    """An answer that is neither 200 nor asks for patience.

    Attributes:
        status: of HTTP; 0 where it did not come to an answer.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.status)


class Lost(ConnectionError):  # noqa: N818 - the same
    """There was no answer, and another try may help.

    Attributes:
        why: in words.
        status: of an answer that asked for patience; None where the connection was lost.
        wait: seconds that the server asked for.
    """

    def __init__(self, why: str, status: int | None = None, wait: float | None = None) -> None:
        super().__init__(why)
        self.why, self.status, self.wait = why, status, wait


def as_address(url: Any) -> str:
    """An address of a server without a slash at its end.

    Raises:
        InputError: no http(s) address, or one that carries a password or a query.
    """
    try:
        parts = urlsplit(url) if isinstance(url, str) and url.isprintable() else None
        good = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
        port = None if parts is None else parts.port
    except ValueError:
        good, parts, port = False, None, None
    if not good or parts is None or port == 0:
        raise InputError(
            f"the server's address must be like 'http://host:8000/v1', got {quoted(url)}."
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InputError(
            "the server's address must hold neither a name, a password nor a query: pass what "
            "grants access as token=..."
        )
    return str(url).strip().rstrip("/")


class Line:
    """One server.

    Args:
        url: its address, checked by :func:`as_address`; may end in ``/v1``.
        token: sent as a bearer token, to this address alone.
        timeout: seconds to wait for one answer.

    Attributes:
        busy: requests in flight.
        failures: in a row.
        down_until: moment (``time.monotonic``) before which it is not asked again.
        suspect: it may have been replaced since it was last compared.
        lock, comparing: held while these change, and while it is compared.
    """

    def __init__(self, url: str, token: str | None, timeout: float) -> None:
        self.url, self.token, self.timeout = url, token, timeout
        self.root = url.removesuffix("/v1")
        self.lock, self.comparing = threading.RLock(), threading.RLock()
        self.busy = self.failures = 0
        self.down_until = 0.0
        self.suspect = False
        self._client: httpx2.Client | None = None
        self._deadline = Deadline()

    @property
    def place(self) -> str:
        """Host and port, for errors."""
        return urlsplit(self.url).netloc

    @property
    def is_local(self) -> bool:
        """Whether it is this machine: no proxy of the environment is asked for it."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def client(self) -> httpx2.Client:
        """The HTTP client, made when it is first needed.

        Raises:
            InputError: proxies or certificates of the environment cannot be used.
        """
        with self.lock:
            if self._client is None:
                http = _http()
                headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
                try:
                    self._client = http.Client(
                        headers=headers,
                        timeout=http.Timeout(self.timeout, connect=_CONNECT),
                        # How many are in flight is bounded elsewhere.
                        limits=http.Limits(max_connections=None, max_keepalive_connections=None),
                        follow_redirects=False,
                        trust_env=not self.is_local,
                        # The certificates that it names are for this machine, too.
                        verify=http.create_ssl_context() if self.url.startswith("https") else True,
                    )
                except (ImportError, ValueError, OSError, http.InvalidURL) as error:
                    raise InputError(
                        f"{self.place} cannot be asked with the proxies and certificates that the "
                        "environment names (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, "
                        f"SSL_CERT_FILE, SSL_CERT_DIR): {first_line(error).rstrip('.')}."
                    ) from error
            return self._client

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        with self.lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON object that is answered to ``POST {root}{path}``.

        Raises:
            Lost: no answer, or one that asks for patience.
            ModelError: any other answer but 200, or one that is not a JSON object, or is an error.
        """
        return self._as_object(path, self._asked("POST", self.root + path, body))

    def get(self, path: str) -> dict[str, Any]:
        """The same of ``GET``."""
        return self._as_object(path, self._asked("GET", self.root + path, None))

    def post_here(self, body: Mapping[str, Any]) -> Any:
        """Whatever JSON is answered to ``POST`` at the address itself.

        Raises:
            Lost, ModelError: as :meth:`post`.
        """
        return self._asked("POST", self.url, body)

    def get_if_there(self, path: str) -> dict[str, Any] | None:
        """The same, None where the server knows no such path."""
        try:
            return self.get(path)
        except ModelError as error:
            if isinstance(error, Refused) and error.status in (0, 401, 403):
                raise
            return None

    def _as_object(self, path: str, found: Any) -> dict[str, Any]:
        if not isinstance(found, dict):
            raise ModelError(f"{self.place} answered {path} with no JSON object.")
        return found

    def _asked(self, method: str, address: str, body: Mapping[str, Any] | None) -> Any:
        http = _http()
        path = urlsplit(address).path or "/"
        try:
            with (
                self._deadline.within(self.timeout),
                self.client.stream(
                    method, address, json=body, extensions={"trace": self._deadline.trace}
                ) as response,
            ):
                status, headers = response.status_code, response.headers
                data = bytearray()
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > _MOST_BYTES:
                        raise ModelError(
                            f"{self.place} answered {method} {path} with more than "
                            f"{_MOST_BYTES >> 20} MB: this is not an inference server."
                        )
                    self._deadline.left()
        except http.InvalidURL as error:
            raise InputError(
                f"the server's address {self.place} cannot be used: {error}."
            ) from error
        except (http.ReadTimeout, http.WriteTimeout, TimeoutError) as error:
            raise self._too_late() from error
        except (http.TransportError, http.StreamError, http.DecodingError, OSError) as error:
            raise self._failure(error) from error
        if status != 200:
            raise refusal(self, path, status, headers, _words(bytes(data), self.token))
        try:
            found = parsed(
                bytes(data), f"{self.place} answered {path} with something that is not JSON"
            )
        except SchemaError as error:
            if _may_be_cut(bytes(data), headers):
                raise Lost("the connection was closed in the middle of an answer") from error
            raise ModelError(str(error)) from error
        # Some answer so with 200.
        if isinstance(found, dict) and (found.get("error") or found.get("object") == "error"):
            raise ModelError(
                f"{self.place} answered {path} with an error: "
                f"{_message(found, self.token) or 'it does not say which'}."
            )
        return found

    def _failure(self, error: Exception) -> Lost | Refused:
        """What a connection that failed means: another try may help, unless it is a matter of what
        the two sides speak."""
        for cause in causes(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                return Refused(
                    f"the certificate of {self.place} is not trusted here: "
                    f"{short_reason(cause.verify_message)}. Give the name that it was made for, or "
                    "name its issuer's certificate in the environment variable SSL_CERT_FILE."
                )
            if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
                return Refused(f"{self.place} does not speak TLS: give its address as http://…")
        if isinstance(error, _http().LocalProtocolError):  # its words repeat what was to be sent
            return Refused(f"{self.place} cannot be sent such a request: look at its address.")
        said = next(
            (c.strerror for c in causes(error) if isinstance(c, OSError) and c.strerror), ""
        )
        return Lost(f"the connection failed ({short_reason(said) or type(error).__name__})")

    def _too_late(self) -> Lost:
        return Lost(f"no whole answer came within {self.timeout:g} s (timeout={self.timeout:g})")


def refusal(
    line: Line, path: str, status: int, headers: Mapping[str, str], words: str
) -> Lost | Refused:
    """What an answer that is not 200 means."""
    if status in TRANSIENT or (status >= 500 and status not in _NOT_KNOWN):
        return Lost(f"HTTP {status}", status, _retry_after(headers.get("Retry-After")))
    said = f": {words}" if words else ""
    if 300 <= status < 400:
        said += ". Give the address that it redirects to"
    advice = {
        401: " Pass token=..., the key that the server was started with.",
        403: " Pass token=... with access to it.",
        404: " Look at the address and at model=...: the path or the model is unknown there.",
    }.get(status, "")
    return Refused(f"{line.place} refused {path} with HTTP {status}{said}.{advice}", status)


def short_reason(text: str) -> str:
    """A server's words on one line, printable and short."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * _QUOTED]).split())
    return line[:_QUOTED].rstrip(".")


def _words(data: bytes, token: str | None) -> str:
    """The message of an error's body, without the token where a server repeats it."""
    try:
        return _message(parsed(data, ""), token)
    except SchemaError:
        return ""


def _message(found: Any, token: str | None) -> str:
    for name in ("error", "message", "detail", "msg"):
        while isinstance(found, dict) and name in found:
            found = found[name]
        if isinstance(found, list) and found:
            found = found[0]
    if not isinstance(found, str):
        return ""
    return short_reason(found if token is None else found.replace(token, "[token]"))


def _may_be_cut(data: bytes, headers: Mapping[str, str]) -> bool:
    """Whether JSON begins that does not end, where only the end of the connection ends it: of
    anything else, the client itself knows how long it is."""
    if any(name in headers for name in ("Content-Length", "Transfer-Encoding")):
        return False
    text = data.strip()
    return text[:1] in (b"{", b"[") and text[-1:] not in (b"}", b"]")


def _retry_after(given: str | None) -> float | None:
    """Seconds that a ``Retry-After`` asks for: a number of them, or a date."""
    if given is None:
        return None
    text = given.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:_QUOTED])
    try:
        when = parsedate_to_datetime(text)
        # HTTP has no other time zone, also where none is named.
        when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
        return max(0.0, when.timestamp() - time())
    except (ValueError, TypeError, OverflowError):
        return None


def _http() -> Any:
    try:
        import httpx2
    except ImportError as error:
        raise InputError("a served model needs: pip install 'proxyspex-hf[served]'.") from error
    return httpx2
