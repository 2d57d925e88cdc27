"""One server over HTTP that is slow, cut off, wrongly addressed or not to be trusted: what is asked
again, and what is an error at once."""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from proxyspex_hf import InputError, ServedModel
from proxyspex_hf.hf.served.line import Line, Lost, Refused

#: How a server speaks on one connection.
Speech = Callable[[socket.socket], None]


@contextmanager
def server(speech: Speech, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Answers each connection on loopback with a speech; gives the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
            heard(connection)
            speech(connection)
            connection.close()

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=one, args=listener.accept()[:1], daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # or the thread would wait on
        listener.close()


def heard(connection: socket.socket) -> None:
    """Read a request to its end: closed before, the connection would be reset."""
    data = b""
    while b"\r\n\r\n" not in data and data[:1] != b"\x16":  # with which TLS begins
        data += connection.recv(1 << 16) or b"\r\n\r\n"
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    left = int(length[1]) - len(body) if length else 0
    while left > 0 and (more := connection.recv(1 << 16)):
        left -= len(more)


def says(data: bytes) -> Speech:
    return lambda connection: connection.sendall(data)


def answer(body: bytes, *headers: str, status: str = "200 OK") -> Speech:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return says("\r\n".join(lines).encode() + body)


def asked(port: int, timeout: float = 5.0, **given: Any) -> Any:
    line = Line(f"{given.get('scheme', 'http')}://127.0.0.1:{port}/v1", None, timeout)
    try:
        return line.post("/v1/completions", {"prompt": "a"})
    finally:
        line.close()


@pytest.mark.parametrize(
    "begin",
    [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;"],
    ids=["a header", "between two pieces"],
)
def test_what_trickles_before_the_answer_is_late(begin: bytes) -> None:
    def trickle(connection: socket.socket) -> None:
        connection.sendall(begin)
        for _ in range(400):
            connection.sendall(b"y")
            time.sleep(0.02)

    start = time.monotonic()
    with server(trickle) as port, pytest.raises(Lost, match=r"no whole answer came within 0\.4 s"):
        asked(port, timeout=0.4)
    assert time.monotonic() - start < 4.0


def test_a_connection_that_was_late_is_not_late_again() -> None:
    """Each request has a deadline of its own, also on a connection that is used again."""

    def slow(connection: socket.socket) -> None:
        for _ in range(3):
            time.sleep(0.4)
            answer(b'{"a": 1}')(connection)
            heard(connection)

    with server(slow) as port:
        line = Line(f"http://127.0.0.1:{port}/v1", None, 1.0)
        assert [line.post("/v1/x", {}) for _ in range(3)] == [{"a": 1}] * 3
        line.close()


@pytest.mark.parametrize("body", [b'{"choices": [{"te', b'[{"a": 1}, {"b"'])
def test_an_answer_that_ends_with_its_connection_may_be_cut(body: bytes) -> None:
    """HTTP/1.0 states no length: servers of Python's own library speak so."""
    head = b"HTTP/1.0 200 OK\r\n\r\n"
    with server(says(head + b'{"a": 1}')) as port:
        assert asked(port) == {"a": 1}
    with server(says(head + body)) as port, pytest.raises(Lost, match="in the middle of an answer"):
        asked(port)
    with server(says(head + b"<html>")) as port, pytest.raises(Exception, match="is not JSON"):
        asked(port)
    with server(answer(body)) as port, pytest.raises(Exception, match="is not JSON"):
        asked(port)


def test_an_error_with_200_is_one() -> None:
    told = b'{"object": "error", "message": "out of memory", "code": 500}'
    with server(answer(told)) as port, pytest.raises(Exception, match="an error: out of memory"):
        asked(port)


@pytest.mark.parametrize(
    ("given", "least", "most"),
    [
        ("7", 7, 7),
        ("99999999999", 1e9, 1e12),
        ("9" * 5000, 1e100, float("inf")),
        ("soon", None, None),
        ("-1", None, None),
    ],
)
def test_how_long_to_wait(given: str, least: float | None, most: float | None) -> None:
    with server(answer(b"", f"Retry-After: {given}", status="429 Busy")) as port:
        with pytest.raises(Lost) as caught:
            asked(port)
        wait = caught.value.wait
        assert wait is None if least is None or most is None else least <= wait <= most  # type: ignore[operator]


@pytest.mark.parametrize("zone", ["", " GMT"])
def test_a_date_is_of_greenwich(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        soon = datetime.now(UTC) + timedelta(seconds=90)
        date = soon.strftime("%a, %d %b %Y %H:%M:%S") + zone
        with server(answer(b"", f"Retry-After: {date}", status="503 Busy")) as port:
            with pytest.raises(Lost) as caught:
                asked(port)
            assert caught.value.wait == pytest.approx(88, abs=5)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_why_there_is_no_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Lost, match=r"the connection failed \(Connection refused\)"):
        asked(port)


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """What a server on loopback shows, signed by itself; and the file of it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "public.pem", folder / "private.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context, public


def test_a_certificate_that_is_not_trusted_is_an_error_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, public = certificate(tmp_path)
    with server(answer(b'{"a": 1}'), context) as port:
        with pytest.raises(Refused, match=r"certificate of 127.* is not trusted.*SSL_CERT_FILE"):
            asked(port, scheme="https")
        start = time.monotonic()
        served = ServedModel(f"https://127.0.0.1:{port}/v1", tokenizer="unused", patience=60)
        with pytest.raises(Refused, match="self-signed certificate"):
            _ = served.started
        assert time.monotonic() - start < 30
        # Also for this machine, for which no proxy is taken from the environment.
        monkeypatch.setenv("SSL_CERT_FILE", str(public))
        assert asked(port, scheme="https") == {"a": 1}


def test_tls_where_there_is_none() -> None:
    with server(answer(b"{}")) as port, pytest.raises(Refused, match=r"does not speak TLS: give"):
        asked(port, scheme="https")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("ALL_PROXY", "foo://me:s3cret@host", "Unknown scheme for proxy URL"),
        ("HTTPS_PROXY", "http://host:port", "Invalid port"),
        ("SSL_CERT_FILE", "/no/such/file", "No such file"),
    ],
)
def test_settings_of_the_environment_that_cannot_be_used(
    variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv(variable.lower(), value)  # which comes first where it is set
    served = ServedModel("https://host.invalid/v1", tokenizer="unused", patience=5)
    with pytest.raises(InputError, match=message) as caught:
        _ = served.started
    assert variable in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("token", ["s3cret\u00e9", " s3cret", "s3cret "])
def test_a_token_that_no_header_can_hold(token: str) -> None:
    with pytest.raises(InputError, match="token holds a character that no HTTP header can") as no:
        ServedModel("http://127.0.0.1:9", token=token)
    assert "s3cret" not in str(no.value)
