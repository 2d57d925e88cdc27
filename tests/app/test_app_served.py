"""``proxyspex-hf app --server``: a page in the browser, the command, and a server that answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from inference_server import InferenceServer
from tiny_pipelines import generator

from proxyspex_hf.app.launch import Running
from proxyspex_hf.cli.main import main


def test_a_served_model_is_explained_on_the_page(
    browser: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pipe = generator()
    pipe.tokenizer.save_pretrained(tmp_path)
    said: list[str] = []

    def use(app: Running) -> None:
        """In place of waiting for Ctrl-C."""
        page = browser.new_context().new_page()
        page.goto(app.url)
        page.wait_for_selector('.psx[aria-busy="false"]', state="attached")
        page.get_by_role("tab", name="Explain your own").click()
        assert page.get_by_label("Model", exact=True).input_value() == "tiny (served)"
        page.get_by_label("Context: its parts are masked").fill("Ann bakes bread in Oslo.")
        page.get_by_label("Question: stays as it is").fill("Who bakes?")
        page.get_by_role("button", name="Explain", exact=True).click()
        page.wait_for_url("**/?own=*")
        page.locator("#explanation .input", has_text="Oslo.").wait_for()
        said.append(page.locator("#explanation .kicker").first.inner_text())
        # The what-if asks the server, too.
        before = server.scored
        page.locator('#explanation .input [data-i="1"]').click()
        page.locator("[data-id=check]").click()
        page.locator("[data-id=model-value]").wait_for()
        assert server.scored > before
        page.context.close()

    monkeypatch.setattr(Running, "wait", use)
    with InferenceServer(pipe, "vllm") as server:
        where = ["--server", server.url, "--tokenizer", str(tmp_path)]
        assert main(["app", "--port", "0", *where]) == 0
        assert server.scored > 5
    assert said == ["tiny · text-generation"]
    assert "http://127.0.0.1:" in capsys.readouterr().out
