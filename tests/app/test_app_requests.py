"""What can be sent to the app without its page: nothing of the machine comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

SECRET = "PROXYSPEX-SECRET-OF-THE-MACHINE"


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("machine") / "secret.png"
    path.write_text(SECRET)
    return path


def crafted(path: str) -> list[Any]:
    """Ways to say "this file" to Gradio."""
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    return [
        file,
        {**file, "url": f"file://{path}", "orig_name": "x.png"},
        [file],
        {"value": file},
        json.dumps(file),
        {"image": file, "text": "x"},
    ]


def test_no_handler_gives_a_file_of_the_machine(app: Any, secret: Path) -> None:
    functions = [fn for fn in app.running.demo.fns.values() if fn.fn is not None]
    assert len(functions) > 15
    for path in ("/etc/passwd", str(secret)):
        for turn, fn in enumerate(functions):
            ways = crafted(path)
            made = [ways[(turn + i) % len(ways)] for i in range(len(fn.inputs) + 1)]
            data = [
                None if block.stateful else way for block, way in zip(fn.inputs, made, strict=False)
            ]
            event = {"key": made[-1], "id": made[-1], "removed": [made[-1]]}
            answer = json.dumps(app.person().ask(fn.name, *data, event=event, fn=fn))
            assert SECRET not in answer
            assert "root:x:" not in answer
            # Nor was it copied to where files are given out.
            assert "/gradio_api/file=" not in answer


def test_files_are_only_given_out_of_the_uploads(app: Any, secret: Path) -> None:
    for path in (
        "/etc/passwd",
        str(secret),
        "../../../../etc/passwd",
        str(Path.cwd() / "Makefile"),
    ):
        for route in ("gradio_api/file=", "file=", "gradio_api/file/"):
            answer = httpx2.get(f"{app.url}{route}{path}")
            assert SECRET not in answer.text
            assert "root:x:" not in answer.text
            assert ".PHONY" not in answer.text


def test_too_large_an_upload_is_refused(app: Any) -> None:
    files = {"files": ("x.png", b"x" * 200_000, "image/png")}
    assert httpx2.post(f"{app.url}gradio_api/upload", files=files).status_code == 413


@pytest.mark.parametrize("event", ["check", "sure"])
def test_the_picture_takes_only_what_the_page_sends(app: Any, event: str) -> None:
    from proxyspex_hf.app.components import key_of
    from proxyspex_hf.app.examples import load_example

    explanation = load_example("short")
    key = key_of(explanation)
    check = next(
        fn for fn in app.running.demo.fns.values() if fn.targets and fn.targets[0][1] == event
    )
    for removed, said in [
        ([0, 1], None),
        ([0, 0], "each feature once"),
        ([10**6], "indices of features"),
        (["0"], "indices of features"),
        ({"a": 1}, "list of at most"),
        ([True], "indices of features"),
    ]:
        answer = app.person().ask("", None, event={"key": key, "removed": removed}, fn=check)
        text = json.dumps(answer["output"])
        assert ("error" in text) == (said is not None)
        if said:
            assert said in text
    stale = app.person().ask("", None, event={"key": "0" * 16, "removed": [0]}, fn=check)
    assert "value" not in json.dumps(stale["output"]["data"]).replace("__type__", "")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "names nothing"),
        ({"query": 3}, "names nothing"),
        ({"query": "x" * 2001}, "names nothing"),
        ({"query": "example=../../etc/passwd"}, "cannot be the name of one"),
        ({"query": "own=AAAAAAAAAAAAAAAAAAAAAA"}, "no longer kept"),
    ],
)
def test_the_way_back_leads_only_to_what_there_is(app: Any, data: Any, said: str) -> None:
    answer = app.person().ask("back", None, event=data)
    assert answer["success"]
    assert said in json.dumps(answer["output"])
