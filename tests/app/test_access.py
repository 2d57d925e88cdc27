"""Names, origins, addresses and passes, as a request has them."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import httpx2
import pytest
from children import Child
from hypothesis import given
from hypothesis import strategies as st

from proxyspex_hf import InputError
from proxyspex_hf.app import Access
from proxyspex_hf.app.access import authority, same_origin
from proxyspex_hf.app.asked import Asked, Refused
from proxyspex_hf.app.meter import Meter
from proxyspex_hf.app.page_policy import policy
from proxyspex_hf.app.passes import Passes
from proxyspex_hf.app.presence import Client, Presence

OWN = ("127.0.0.1", 7860)


@pytest.mark.parametrize(
    ("host", "answers"),
    [
        *((name, True) for name in ("localhost", "LocalHost:7860", "127.9.9.9:7860", "[::1]:7860")),
        *(
            (name, False)
            for name in ("localhost:80", "[::1]:1", "::1", "localhost.", "a.localhost")
        ),
        *(
            (name, False)
            for name in ("2130706433", "127.1", "0x7f.1", "[::ffff:7f00:1]", "0.0.0.0")
        ),
        *(
            (name, False)
            for name in ("evil.example", "u@localhost", "localhost:0", "", "localhost:")
        ),
    ],
)
def test_an_app_of_this_machine_answers_to_its_own_names(host: str, answers: bool) -> None:
    assert Access().answers(host, OWN) is answers


@pytest.mark.parametrize(
    ("hosts", "own", "host", "answers"),
    [
        (("Example.org",), OWN, "example.ORG:1234", True),
        (("example.org",), OWN, "www.example.org", False),
        (("example.org:8443",), OWN, "example.org:8443", True),
        (("example.org:8443",), OWN, "example.org", False),
        (("example.org:443",), OWN, "example.org", True),
        (("localhost:9000",), OWN, "localhost:9000", True),
        ((), ("192.168.0.2", 7860), "192.168.0.2:7860", True),
        ((), ("::ffff:192.168.0.2", 7860), "192.168.0.2", True),
        ((), ("192.168.0.2", 7860), "192.168.0.3:7860", False),
    ],
)
def test_an_app_of_a_network_answers_to_its_address_and_to_names_that_were_allowed(
    hosts: tuple[str, ...], own: tuple[str, int], host: str, answers: bool
) -> None:
    assert Access(hosts).answers(host, own) is answers


def test_the_name_that_it_listens_on_is_its_own() -> None:
    assert Access().listening_on("my-machine").hosts == ("my-machine",)
    for name in (None, "127.0.0.1", "localhost", "0.0.0.0", "::", "[::]"):
        assert Access().listening_on(name).hosts == ()


@pytest.mark.parametrize("host", ["http://x.org", "x.org/", "a b", "", "x.org:0", "*.org"])
def test_what_is_no_name_cannot_be_allowed(host: str) -> None:
    with pytest.raises(InputError, match="is not the name of a host"):
        Access((host,))


@given(st.text(max_size=30))
def test_every_text_is_a_name_or_none(text: str) -> None:
    found = authority(text)
    if found is not None:
        host, port = found
        shown = f"[{host}]" if ":" in host else host
        assert authority(shown if port is None else f"{shown}:{port}") == found


def test_a_space_says_its_names() -> None:
    space = Access.of_space({"SPACE_HOST": "me-x.hf.space, example.org"})
    assert space.hosts == ("me-x.hf.space", "example.org")
    assert space.proxied
    assert Access.of_space({}) == Access()
    assert not space.answers("you-y.hf.space", ("10.0.0.1", 7860))


def asked(method: str = "GET", path: str = "/", peer: str = "127.0.0.1", **headers: str) -> Asked:
    given = {"host": "localhost:7860"} | {k.replace("_", "-"): v for k, v in headers.items()}
    pairs = [(name.encode(), value.encode()) for name, value in given.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": pairs, "query_string": b""}
    return Asked.of({**scope, "server": OWN, "client": (peer, 5)})


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (asked(), None),
        (asked(origin="http://localhost:7860"), None),
        (asked(host="evil.example"), 421),
        (asked(x_forwarded_host="localhost:7860, evil.example"), 421),
        (asked(origin="http://127.0.0.1:7860"), 403),
        (asked(origin="null"), 403),
        (asked(sec_fetch_site="same-site"), 403),
        (asked(sec_fetch_site="cross-site", sec_fetch_mode="navigate"), None),
        (asked("POST", "/login", sec_fetch_site="cross-site", sec_fetch_mode="navigate"), 403),
        (asked(path="/gradio_api/file=x", sec_fetch_site="none"), None),
        (asked(path="/gradio_api/proxy=http://x"), 404),
        (asked("POST", "/gradio_api/queue/join/"), None),
        (asked("POST", "/gradio_api/component_server"), 404),
        (asked("POST", "/login"), 404),
        (asked("DELETE", "/"), 405),
        (asked("OPTIONS", "/"), 405),
    ],
)
def test_a_request_is_let_in_or_refused(request_: Asked, status: int | None) -> None:
    if status is None:
        request_.check(Access())
        return
    with pytest.raises(Refused) as refused:
        request_.check(Access())
    assert refused.value.status == status
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://x.org", "x.org", True),
        ("https://x.org", "x.org:443", True),
        ("https://x.org", "x.org:80", False),
        ("http://x.org:81", "x.org", False),
        ("http://X.org", "x.org", True),
        ("ftp://x.org", "x.org", False),
        ("http://x.org/", "x.org", False),
        ("http://a@x.org", "x.org", False),
    ],
)
def test_an_origin_is_the_hosts_or_not(origin: str, host: str, same: bool) -> None:
    assert same_origin(origin, host) is same


@pytest.mark.parametrize(
    ("peer", "said", "proxied", "address"),
    [
        ("127.0.0.1", None, False, ""),
        ("192.168.0.9", None, False, "192.168.0.9"),
        ("192.168.0.9", "1.2.3.4", False, "forwarded"),
        ("10.0.0.1", "1.2.3.4, 8.8.8.8, 10.1.2.3", True, "8.8.8.8"),
        ("10.0.0.1", "1.2.3.4", True, "1.2.3.4"),
        ("10.0.0.1", None, True, "10.0.0.1"),
        ("10.0.0.1", "2a00:1450:4001:1:2:3:4:5", True, "2a00:1450:4001:1::"),
    ],
)
def test_only_a_platforms_proxy_says_whose_a_request_is(
    peer: str, said: str | None, proxied: bool, address: str
) -> None:
    headers = {} if said is None else {"x_forwarded_for": said}
    assert asked(peer=peer, **headers).address(Access(proxied=proxied)) == address


def test_passes_are_of_one_start_and_of_one_visitor() -> None:
    passes, others = Passes(), Passes()
    one, two = passes.made(), passes.made()
    assert passes.visitor(one) == one.partition(".")[0] != passes.visitor(two)
    assert others.visitor(one) is None
    visitor, _, signature = one.partition(".")
    for forged in (
        "",
        ".",
        visitor,
        f"{visitor}.",
        f"{visitor[:-1]}.{signature}",
        f"ä.{signature}",
    ):
        assert passes.visitor(forged) is None
    assert passes.name(1) != passes.name(2)
    framed = Passes(framed=True).header(7860, one)
    assert framed.startswith("__Host-")
    assert framed.endswith("HttpOnly; SameSite=None; Secure; Partitioned")
    assert passes.header(7860, one).endswith("HttpOnly; SameSite=Lax")


def test_pages_come_and_go() -> None:
    now = [0.0]
    presence = Presence(lambda: now[0])
    me = Client("1.1.1.1", "me")
    assert presence.claim("a", me)
    assert presence.here("a")
    assert not presence.is_open("me")
    now[0] = 11.0
    assert not presence.here("a")
    assert presence.connect("a", me)
    assert presence.connect("a", me)
    now[0] = 1000.0
    assert presence.here("a")
    assert presence.is_open("me")
    presence.disconnect("a")
    assert presence.listens("a")
    presence.disconnect("a")
    assert not presence.listens("a")
    assert presence.forgotten() == []
    now[0] = 1100.0
    assert presence.forgotten() == ["a"]
    assert [presence.claim(str(i), me) for i in range(41)] == [True] * 40 + [False]
    assert presence.claim("other", Client("1.1.1.1", "you"))


def test_a_meter_lets_bursts_through_and_floods_not() -> None:
    now = [0.0]
    meter = Meter(5, 2.0, lambda: now[0])
    assert [meter.take("a") for _ in range(7)] == [True] * 5 + [False] * 2
    assert meter.take("b")
    now[0] = 1.0
    assert [meter.take("a") for _ in range(3)] == [True, True, False]


def test_the_policy_allows_the_scripts_that_were_served_and_no_others() -> None:
    page = b"<script>one()</script><script src='x.js'></script><SCRIPT type=module>two()</SCRIPT >"
    said = policy(page, ("https://huggingface.co",))
    hashes = [
        base64.b64encode(hashlib.sha256(text).digest()).decode() for text in (b"one()", b"two()")
    ]
    assert re.findall(r"'sha256-([^']+)'", said) == hashes
    assert "frame-ancestors 'self' https://huggingface.co" in said
    assert "script-src 'self' 'unsafe-eval' 'sha256" in said


def test_every_answer_carries_its_headers(app: Any) -> None:
    page = httpx2.get(app.url)
    assert "frame-ancestors 'self'" in page.headers["content-security-policy"]
    assert page.headers["content-security-policy"].count("sha256-") >= 4
    assert re.match(
        r"proxyspex-\d+=[0-9a-f]{32}\.[0-9a-f]{64}; Path=/; ", page.headers["set-cookie"]
    )
    others = ["config", "nothing", "gradio_api/queue/status", "theme.css"]
    answers = [page, *(httpx2.get(f"{app.url}{route}") for route in others)]
    answers.append(httpx2.get(app.url, headers={"Host": "evil.example"}))
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["x-frame-options"] == "SAMEORIGIN"
        assert "access-control-allow-origin" not in answer.headers
    again = httpx2.get(app.url, headers={"Cookie": page.headers["set-cookie"].split(";")[0]})
    assert "set-cookie" not in again.headers


def test_markup_that_got_into_the_page_runs_nothing(visit: Any) -> None:
    opened = visit()
    opened.page.evaluate("window.pwned = 0")
    opened.page.evaluate(
        """() => {
            const place = document.createElement("div");
            document.body.append(place);
            place.innerHTML = "<img src='data:,x' onerror='window.pwned = 1'>";
            const script = document.createElement("script");
            script.textContent = "window.pwned = 1";
            place.append(script);
            const far = document.createElement("script");
            far.src = "http://127.0.0.1:1/x.js";
            place.append(far);
        }"""
    )
    for _ in range(100):
        if len(opened.complaints) >= 3:
            break
        opened.page.wait_for_timeout(100)
    assert opened.page.evaluate("window.pwned") == 0
    assert len(opened.complaints) >= 3
    assert all("Content Security Policy" in c or "data:,x" in c for c in opened.complaints)
    opened.complaints.clear()
    opened.requests.clear()


def test_what_the_package_exports_is_no_module_of_the_same_name() -> None:
    """In a process that has not imported the app: the module comes in on the way to the name."""
    Child(
        "import sys; assert 'proxyspex_hf.app' not in sys.modules\n"
        "from proxyspex_hf.app import launch, running; launch.__code__, running.__code__"
    ).done()
