"""The app in a browser: opened, played with, asked for one's own, stopped, by several at once."""

from __future__ import annotations

import json
import math
import os
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import gradio as gr
import pytest
import torch

from proxyspex_hf import InteractionExplainer, InteractionExplanation
from proxyspex_hf.app.examples import EXAMPLES, load_example
from proxyspex_hf.app.folders import Folders, is_stopped
from proxyspex_hf.app.form import FIRST
from proxyspex_hf.app.session import Session

Visit = Callable[..., Any]
TEXT = "It could have been great, but the plot is dull and never funny for me."


def write(opened: Any, text: str) -> None:
    opened.tab("Explain your own")
    box = opened.page.get_by_label("Text", exact=True)
    box.fill(text)
    box.blur()


def test_it_opens_on_an_explanation_and_changes_to_another(visit: Visit) -> None:
    opened = visit()
    opened.shown("minute.")
    for name, text in list(EXAMPLES.items())[::-1]:
        opened.page.get_by_role("button", name=text).click()
        words = load_example(name).features.labels
        opened.shown(words[-1])
    assert "?example=short" in opened.page.url
    opened.page.go_back()
    opened.shown(load_example("caption").features.labels[-1])
    assert "?example=caption" in opened.page.url


def test_one_explains_ones_own_and_asks_the_model(visit: Visit, app: Any, pipe: Any) -> None:
    opened = visit()
    write(opened, TEXT)
    cost = opened.news("cost")
    cost.filter(has_text="model calls").wait_for()
    n = len(TEXT.split())
    calls = InteractionExplainer(pipe).plan(TEXT).calls
    assert cost.inner_text().startswith(f"{n} words: at most {calls:,} model calls")
    opened.page.get_by_role("button", name="Explain", exact=True).click()
    opened.shown("dull")
    assert opened.page.get_by_role("tab", name="Explore").get_attribute("aria-selected") == "true"
    # The model itself, without a word.
    word = TEXT.split().index("dull")
    opened.page.locator(f'.psx .input [data-i="{word}"]').click()
    opened.page.locator("[data-id=check]").click()
    value = opened.page.locator("[data-id=model-value]")
    value.wait_for()
    masked = TEXT.replace(" dull ", " [MASK] ")
    scores = pipe(masked, top_k=None)
    label = InteractionExplainer(pipe).value_function(TEXT).target.label
    share = next(s["score"] for s in scores if s["label"] == label)
    expected = math.log(share / (1 - share))
    assert float(value.get_attribute("data-value")) == pytest.approx(expected, abs=1e-4)


def test_looking_is_not_held_up_by_others_who_explain(visit: Visit, app: Any) -> None:
    busy = [app.person() for _ in range(3)]  # one more than there are places
    app.calls.pause = 0.2
    try:
        for person in busy:
            form = values(app, TEXT)
            assert person.ask("begin", None, *form)["success"]
        done: list[dict[str, Any]] = []
        threads = [threading.Thread(target=lambda p=p: done.append(p.ask("explain"))) for p in busy]
        for thread in threads:
            thread.start()
        start = time.monotonic()
        opened = visit("?example=caption")
        opened.shown("guitar")
        opened.page.get_by_role("button", name=EXAMPLES["question"]).click()
        opened.shown("bakes")
        print(f"\nlooked in {time.monotonic() - start:.1f} s while three explained")
        assert done == []
        for person in busy:
            person.ask("stop")
    finally:
        app.calls.pause = 0.0
    for thread in threads:
        thread.join(60)
    assert len(done) == 3
    assert all(message["success"] for message in done)


def values(app: Any, text: str, **changes: Any) -> list[Any]:
    """The form's values, in order."""
    form = {
        "model": app.settings.models.choices[0].name,
        "task": "text-classification",
        "text": text,
        "question": "",
        "picture": None,
        "features": "words",
        "patches": 48,
        "target": "",
        "alpha": 2,
        "seed": 0,
    }
    return list({**form, **changes}.values())


def test_eight_people_at_once_see_each_their_own(app: Any) -> None:
    texts = [f"Film {i} is not bad but quite dull" for i in range(8)]
    seconds: list[float] = [0.0] * 8
    seen: list[str] = [""] * 8
    people = [app.person() for _ in texts]

    def use(i: int) -> None:
        start = time.monotonic()
        assert people[i].ask("begin", None, *values(app, texts[i]))["success"]
        message = people[i].ask("explain")
        assert message["success"], message
        seen[i] = json.dumps(message["output"])
        seconds[i] = time.monotonic() - start

    threads = [threading.Thread(target=use, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    print(f"\neight at once: {min(seconds):.1f} to {max(seconds):.1f} s each")
    assert all(seconds)
    holder = app.running.demo.state_holder
    for person, text in zip(people, texts, strict=True):
        (session,) = (
            v for v in holder.session_data[person.page].state_data.values() if hasattr(v, "source")
        )
        assert session.explanation.text == text
        sent = seen[texts.index(text)]
        assert not any(other in sent for other in texts if other != text)


def test_what_a_page_left_goes_with_it(app: Any) -> None:
    person = app.person()
    assert person.ask("begin", None, *values(app, "not bad"))["success"]
    folder = app.running.folders.place(person.page)
    assert person.ask("explain")["success"]
    assert len(list(folder.glob("*.values"))) == 1
    app.running.folders.stop(person.page)
    assert is_stopped(folder)
    assert not is_stopped(app.running.folders.go(person.page))
    long_ago = time.time() - app.running.folders.kept - 60
    os.utime(folder, (long_ago, long_ago))
    app.running.demo.state_holder.delete_state(person.page)
    assert not folder.exists()


def test_answers_outlive_a_forgotten_page_while_they_are_used(app: Any) -> None:
    folders = Folders(kept=100)
    try:
        with folders.running("a") as folder:
            (folder / "x.values").touch()
            os.utime(folder, (1, 1))
            folders.sweep()  # Gradio forgets a page by the clock, whatever it is doing
            assert (folder / "x.values").exists()
            with folders.running("a"):
                pass
            os.utime(folder, (1, 1))
            folders.sweep()
            assert (folder / "x.values").exists()
        folders.sweep()
        assert (folder / "x.values").exists()  # it was used until just now
        os.utime(folder, (1, 1))
        folders.go("b")
        assert not folder.exists()
    finally:
        folders.close()
    # A run may take all of its time, and can be gone on with long after.
    states = [b for b in app.running.demo.blocks.values() if isinstance(b, gr.State)]
    state = next(state for state in states if isinstance(state.value, Session))
    assert state.time_to_live >= app.settings.limits.seconds + app.running.folders.kept


def test_going_on_on_a_forgotten_page_says_what_to_do(app: Any) -> None:
    answer = app.person().ask("resume", None)
    assert answer["success"]
    assert "Press Explain" in json.dumps(answer["output"])


@pytest.mark.filterwarnings("ignore:The value passed into gr.Dropdown")
def test_another_model_leaves_what_a_person_wrote(app: Any) -> None:
    changed = app.person().function("changed").fn
    (text, question) = FIRST["text-generation"]
    name = "HuggingFaceTB/SmolLM2-135M-Instruct"

    def after(*given: str) -> list[Any]:
        updates = [u for u in changed(name, "text-generation", *given).values() if u]
        return [u.value for u in updates if isinstance(u, gr.Textbox)]

    assert after("", "") == [text, question]
    assert after("", "Who is Ann?") == [text, "Who is Ann?"]
    assert after("My own.", "") == ["My own.", ""]
    assert after(*FIRST["text-classification"]) == [text, question]
    assert after(FIRST["text-classification"][0], "Who?") == [text, "Who?"]


def test_the_form_by_keyboard_alone(visit: Visit) -> None:
    opened = visit()
    keys = opened.page.keyboard

    def focused() -> str:
        here = "document.activeElement"
        script = f"({here}.closest('[id]') || {{}}).id + ' ' + {here}.textContent"
        return str(opened.page.evaluate(f"{here} === document.body ? '' : {script}"))

    def until(wanted: Callable[[str], bool], key: str = "Tab", most: int = 60) -> None:
        for _ in range(most):
            if wanted(focused()):
                return
            keys.press(key)
        raise AssertionError(f"never came there; now at {focused()}")

    until(lambda at: at.strip().endswith("Explore"))
    until(lambda at: at.strip().endswith("Explain your own"))
    keys.press("Enter")
    opened.page.get_by_label("Text", exact=True).wait_for()
    until(lambda at: at.startswith("text "))
    keys.press("Control+a")
    keys.type("Not a good film, not at all")
    until(lambda at: at.strip().endswith("Explain"))
    keys.press("Enter")
    opened.shown("all")
    assert opened.page.get_by_role("tab", name="Explore").get_attribute("aria-selected") == "true"
    opened.page.wait_for_function("document.activeElement.textContent.trim() === 'Explore'")


def test_what_is_too_much_is_refused_in_words(visit: Visit, app: Any, tmp_path: Any) -> None:
    from PIL import Image

    opened = visit()
    opened.tab("Explain your own")
    explain = opened.page.get_by_role("button", name="Explain", exact=True)
    box, news = opened.page.get_by_label("Text", exact=True), opened.news("own-news")
    box.fill("   ")
    explain.click()
    news.filter(has_text="There is no text yet: write or paste one.").wait_for()
    box.fill("word " * 61)
    explain.click()
    news.filter(has_text="61 words, this app takes 60: shorten it").wait_for()
    assert not opened.page.get_by_role("button", name="Continue").is_visible()
    box.fill("word " * 58)
    opened.page.locator("#alpha input[type=number]").fill("8")
    explain.click()
    news.filter(has_text="model calls, this app makes 2,000: take a smaller alpha").wait_for()

    opened.page.get_by_label("Model").click()
    opened.page.get_by_role("option", name="pictures of icons").click()
    upload = opened.page.locator("#picture input[type=file]")
    upload.wait_for(state="attached")
    cost = opened.news("cost")
    large = tmp_path / "large.png"
    Image.new("RGB", (1000, 600), "red").save(large)
    upload.set_input_files(large)
    cost.filter(has_text="1000 × 600 pixels, this app takes 0.5 million").wait_for()
    opened.page.get_by_label("Clear").click()
    broken, small = tmp_path / "broken.png", tmp_path / "small.png"
    Image.new("RGB", (300, 200), "red").save(small)
    broken.write_bytes(small.read_bytes()[:100])
    upload.set_input_files(broken)
    cost.filter(has_text="not a picture that the app can read").wait_for()
    assert str(tmp_path) not in opened.page.content()


def test_time_is_limited_and_the_answers_stay(pipe: Any, tmp_path: Any) -> None:
    from proxyspex_hf.app import Limits, Models
    from proxyspex_hf.app.jobs import Found, Halted, Job, explain
    from proxyspex_hf.app.models import SHIPPED

    models = Models(SHIPPED)
    job = Job(SHIPPED[0], text=TEXT)
    model = models.pipeline(SHIPPED[0]).model

    def slowly(module: Any, _args: Any, output: Any) -> None:
        """The first batch of answers takes longer than there is time."""
        time.sleep(6.5 if module is model and len(output.logits) > 8 else 0.0)

    # Beside the model: a hook of its own would make it another one.
    hook = torch.nn.modules.module.register_module_forward_hook(slowly)
    *_, last = explain(job, models, tmp_path, Limits(seconds=6.0))
    hook.remove()
    assert isinstance(last, Halted)
    assert "The time of one run is over (6 s is this app's limit)." in last.message
    kept = int(re.findall(r"(\d+) of \d+ answers are kept", last.message)[0])
    *_, last = explain(job, models, tmp_path, Limits())
    assert isinstance(last, Found)
    found = InteractionExplanation(_record(last.text))
    assert found == InteractionExplainer(pipe)(TEXT, alpha=2.0, value="log-odds")
    assert kept > 0


def _record(text: str) -> Any:
    from proxyspex_hf.record.serialize import record_from_json

    return record_from_json(json.loads(text))
