"""Pages of other names and other sites that use somebody's browser to ask the app."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import httpx2

from attacks.outcome import Attack, Outcome
from attacks.visitor import Visitor, an_app
from proxyspex_hf.app.launch import Running

__all__ = ["ATTACKS"]

_ROUTES = ["", "config", "gradio_api/info", "gradio_api/queue/status", "theme.css", "nothing"]


def _raw(app: Running, request: str) -> int:
    """The status of a request written by hand."""
    port = int(app.url.rsplit(":", 1)[1].strip("/"))
    with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
        link.sendall(request.replace("PORT", str(port)).encode("latin1"))
        head = link.recv(4096).split(b"\r\n")[0].split()
    return int(head[1]) if len(head) > 1 else 0


def _forged() -> Iterator[str]:
    """Values of Host that are not the app's."""
    for name in [
        *("evil.example", "EVIL.example", "evil.example.", "127.0.0.1.evil.example"),
        *("localhost.evil.example", "evil-localhost", "localhost.evil", "a.localhost"),
        *("localhost@evil.example", "evil.example@localhost", "localhost#.evil.example"),
        *("2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0.0.0.0", "169.254.169.254"),
        *("[::ffff:127.0.0.1]", "[::]", "[::1", "::1", "[fe80::1%25lo]", "[::1].evil.example"),
        *("localhost.", "127.0.0.1.", "", " ", "localhost localhost", "xn--lcalhost-13a"),
        *("127.0.0.1\t.evil.example", "127.0.0.1,evil.example", "http://127.0.0.1"),
    ]:
        yield name
        yield f"{name}:PORT"
    yield from ("localhost:1", "127.0.0.1:80", "localhost:0PORT", "localhost:+PORT", "localhost:")
    yield from ("localhost:PORT:PORT", "localhost:99999", "[::1]:1", "localhost:PORT@evil.example")


def forged_host(long: bool) -> Outcome:
    routes = [*_ROUTES, "static/img/logo.svg", "favicon.ico"] if long else _ROUTES[:3]
    with an_app() as app:
        got: dict[int, int] = {}
        answered = []
        for name in _forged():
            for route in routes:
                for method in ("GET", "POST", "OPTIONS"):
                    status = _raw(app, f"{method} /{route} HTTP/1.1\r\nHost: {name}\r\n\r\n")
                    got[status] = got.get(status, 0) + 1
                    if not 400 <= status < 500:
                        answered.append((method, route, name, status))
        for lines in [
            ["GET / HTTP/1.1"],
            ["GET / HTTP/1.0"],
            ["GET / HTTP/1.1", "Host: localhost:PORT", "Host: evil.example"],
            ["GET / HTTP/1.1", "Host: evil.example", "Host: localhost:PORT"],
            ["GET http://evil.example/ HTTP/1.1", "Host: localhost:PORT"],
            ["GET / HTTP/1.1", "Host: localhost:PORT", "X-Forwarded-Host: evil.example"],
            ["GET / HTTP/1.1", "Host: evil.example", "X-Forwarded-Host: localhost:PORT"],
        ]:
            status = _raw(app, "\r\n".join([*lines, "", ""]))
            got[status] = got.get(status, 0) + 1
            if not 400 <= status < 500:
                answered.append(("", "", str(lines), status))
        own = ["localhost:PORT", "LOCALHOST:PORT", "127.0.0.1:PORT", "127.3.2.1:PORT", "[::1]:PORT"]
        own += ["localhost", "[0:0:0:0:0:0:0:1]:PORT"]
        kept_out = [n for n in own if _raw(app, f"GET / HTTP/1.1\r\nHost: {n}\r\n\r\n") != 200]
    return Outcome(
        "forged Host",
        f"{sum(got.values())} requests by {len(list(_forged()))} other names, two, or none",
        not answered and not kept_out,
        f"answers by status {dict(sorted(got.items()))}; let in {answered[:3]}; own names kept out "
        f"{kept_out}",
    )


def rebound_page(long: bool) -> Outcome:
    """A page whose name leads here: its requests carry its name as host and as origin."""
    with an_app() as app:
        port = app.url.rsplit(":", 1)[1].strip("/")
        evil = {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"}
        evil |= {"Sec-Fetch-Site": "same-origin"}
        visitor = Visitor.with_pass(app)  # even if it had the pass
        answers = [httpx2.get(f"{app.url}{route}", headers=evil) for route in _ROUTES]
        answers += [visitor.ask("look", "me/x", "explanations", "", headers=evil)]
        answers += [visitor.ask("push", None, "me/x", None, headers=evil)]
        answers += [visitor.upload(b"x", headers=evil)]
        words = all("not called 'evil.example" in answer.text for answer in answers)
        told = [dict(answer.headers) for answer in answers]
        cookies = [headers for headers in told if "set-cookie" in headers]
    statuses = [answer.status_code for answer in answers]
    return Outcome(
        "rebound page",
        "page, configuration, listing, pushing and uploading by evil.example, with a pass",
        set(statuses) == {421} and words and not cookies,
        f"statuses {statuses}; in words: {words}; passes given: {len(cookies)}",
    )


def other_sites(long: bool) -> Outcome:
    """Pages of other sites, which browsers let send simple requests with cookies."""
    with an_app() as app:
        visitor = Visitor.with_pass(app)
        port = int(app.url.rsplit(":", 1)[1].strip("/"))
        ways = [
            {"Origin": origin}
            for origin in [
                *("http://evil.example", "https://evil.example", "null", "", "file://"),
                *(f"http://evil.example:{port}", "http://127.0.0.1", "http://127.0.0.1:1"),
                *(f"https://127.0.0.1.evil.example:{port}", f"http://localhost:{port + 1}"),
                *(f"http://127.0.0.1:{port}@evil.example", f"ws://127.0.0.1:{port}"),
                f"http://127.0.0.1:{port} http://evil.example",
            ]
        ]
        ways += [{"Sec-Fetch-Site": site} for site in ("cross-site", "same-site")]
        ways += [{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}]
        kinds = ["application/json", "text/plain", "application/x-www-form-urlencoded", ""]
        statuses: list[int] = []
        for way in ways:
            for kind in kinds if long else kinds[:2]:
                headers = way | {"Content-Type": kind}
                statuses.append(visitor.ask("look", "a/b", "", "", headers=headers).status_code)
            statuses.append(visitor.upload(b"x", headers=way).status_code)
            statuses.append(visitor.ask("stop", headers=way).status_code)
            listening = f"{app.url}gradio_api/queue/data?session_hash={visitor.page}"
            statuses.append(httpx2.get(listening, headers=visitor.headers | way).status_code)
        visit = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        link = httpx2.get(app.url, headers=visit).status_code
    return Outcome(
        "requests from other sites",
        f"{len(statuses)} requests of {len(ways)} origins with the visitor's pass",
        set(statuses) == {403} and link == 200,
        f"statuses {sorted(set(statuses))}; a plain link to the page: {link}",
    )


def without_the_pass(long: bool) -> Outcome:
    """Programs and pages that did not open the page."""
    with an_app() as app, an_app() as other:
        right = Visitor.with_pass(app)
        name, _, value = right.headers["Cookie"].partition("=")
        forged = [
            *("", f"{name}=", f"{name}={value[:-1]}0"[:-1], f"{name}={'0' * 32}.{'0' * 64}"),
            *(f"{name}=x.{value.partition('.')[2]}", f"{name}={value}\x00", f"other={value}"),
            Visitor.with_pass(other).headers["Cookie"],
            f"{name}={Visitor.with_pass(other).headers['Cookie'].partition('=')[2]}",
        ]
        statuses: list[int] = []
        for cookie in forged:
            headers = {"Cookie": cookie} if cookie else {}
            visitor = Visitor(app, headers={k: v for k, v in headers.items() if "\0" not in v})
            statuses += [visitor.ask("look", "a/b", "", "").status_code]
            statuses += [visitor.ask("stop").status_code, visitor.upload(b"x").status_code]
            statuses += [visitor.post("cancel", json={}).status_code]
        unused = [
            right.post(route, json={"session_hash": right.page}).status_code
            for route in ("call/look", "call/v2/look", "component_server", "vibe-edit", "api/look")
        ]
        own = right.ask("stop").status_code
        said = Visitor(app).ask("stop").json()["detail"]
        flags = httpx2.get(app.url).headers["set-cookie"]
    held = set(statuses) == {403} and set(unused) == {404} and own == 200
    held = held and "HttpOnly" in flags and "SameSite=Lax" in flags and "pass" in said
    return Outcome(
        "no pass, or a forged one",
        f"{len(statuses)} requests without the page's pass; 5 routes that the page does not use",
        held,
        f"statuses {sorted(set(statuses))}, unused routes {sorted(set(unused))}, with the pass "
        f"{own}; said {json.dumps(said[:50])}",
    )


ATTACKS: tuple[Attack, ...] = (forged_host, rebound_page, other_sites, without_the_pass)
