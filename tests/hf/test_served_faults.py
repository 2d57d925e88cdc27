"""Servers that misbehave: what is answered wrongly is refused, what is lost is asked again."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from inference_server import InferenceServer
from inference_server.answers import Answers, Refused
from tiny_models import LABELS, roberta_pipeline
from tiny_pipelines import generator

from proxyspex_hf import InteractionExplainer, ModelError, ServedModel
from proxyspex_hf.hf.served import line as line_module
from proxyspex_hf.hf.served import servers as servers_module
from proxyspex_hf.hf.value_function import BoundInput

TEXT = "It could have been great, but the plot is dull and never funny."
ROUNDING = 1e-5


@pytest.fixture(scope="module")
def pipe() -> Any:
    return generator()


@pytest.fixture(scope="module")
def expected(pipe: Any) -> Any:
    return InteractionExplainer(pipe).value_function(TEXT, target=" bored")(masks())


def masks(count: int = 90) -> Any:
    """Distinct ones."""
    found = np.unique(np.random.default_rng(0).random((4 * count, 13)) < 0.6, axis=0)
    return np.random.default_rng(1).permutation(found)[:count]


def served_by(*servers: InferenceServer, **more: Any) -> ServedModel:
    given = {"tokenizer": servers[0].answers.tokenizer, "patience": 20.0, **more}
    return ServedModel([server.url for server in servers], **given)


def function_of(served: ServedModel) -> BoundInput:
    return InteractionExplainer(served).value_function(TEXT, target=" bored")


Twist = Callable[[str, Any], Any]


def of_choice(change: Callable[[dict[str, Any]], None]) -> Twist:
    """A change of the one choice of a completion that scores."""

    def twisted(path: str, answer: Any) -> Any:
        for choice in answer.get("choices", []):
            if "logprobs" in choice:
                change(choice)
        return answer

    return twisted


def no_numbers(choice: dict[str, Any]) -> None:
    choice["logprobs"] = None


def one_missing(choice: dict[str, Any]) -> None:
    del choice["logprobs"]["token_logprobs"][3]
    del choice["logprobs"]["token_logprobs"][3]


def one_null(choice: dict[str, Any]) -> None:
    choice["logprobs"]["token_logprobs"][-2] = None


def above_zero(choice: dict[str, Any]) -> None:
    choice["logprobs"]["token_logprobs"][-2] = 0.7


def as_text(choice: dict[str, Any]) -> None:
    choice["logprobs"]["token_logprobs"][-2] = "-0.7"


def off_by_one(choice: dict[str, Any]) -> None:
    values = choice["logprobs"]["token_logprobs"]
    values[:] = [-1.0, -1.0, *values[1:-1]]


def other_tokens(choice: dict[str, Any]) -> None:
    choice["logprobs"]["tokens"] = ["token_id:3"] * len(choice["logprobs"]["tokens"])


def other_count(path: str, answer: Any) -> Any:
    if "usage" in answer:
        answer["usage"]["prompt_tokens"] += 1
    return answer


def other_name(path: str, answer: Any) -> Any:
    return {**answer, "model": "surprise"} if "choices" in answer else answer


def two_choices(path: str, answer: Any) -> Any:
    return {**answer, "choices": answer["choices"] * 2} if "choices" in answer else answer


def a_list(path: str, answer: Any) -> Any:
    return [answer] if "choices" in answer else answer


class Stale:
    """Answers of a cached beginning: from the fifth on, those after a beginning that was seen."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, path: str, answer: Any) -> Any:
        for choice in answer.get("choices", []):
            self.seen += 1
            if self.seen > 6 and choice.get("logprobs"):
                values = choice["logprobs"]["token_logprobs"]
                values[-3:] = [value - 1.0 for value in values[-3:]]
        return answer


@pytest.mark.parametrize(
    ("twist", "message"),
    [
        (of_choice(no_numbers), "without log-probabilities of the prompt.*--logits_all"),
        (of_choice(one_missing), "log-probabilities for .* tokens: some are left out"),
        (of_choice(one_null), "without the log-probability of every token"),
        (of_choice(above_zero), "gave 0.7 for a log-probability, which is at most 0"),
        (of_choice(as_text), "without the log-probability of every token"),
        (of_choice(off_by_one), "of other places than the output's"),
        (of_choice(other_tokens), "log-probabilities of tokens that were not sent"),
        (other_count, "read 13 tokens where 12 were meant"),
        (other_name, "answered as 'surprise', but 'tiny' was asked"),
        (two_choices, "no list of one choice"),
        (a_list, "no JSON object"),
        (Stale(), "gives other answers when several requests are in flight"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_answers_that_are_wrong_are_refused_at_the_start(
    pipe: Any, twist: Twist, message: str
) -> None:
    with InferenceServer(pipe, "vllm") as server:
        server.twist = twist
        with pytest.raises(ModelError, match=message):
            _ = served_by(server, dialect="completions").started
        assert len(server.asked) < 30


def test_a_server_that_ignores_what_it_does_not_know(pipe: Any) -> None:
    with InferenceServer(pipe, "transformers") as server:
        with pytest.raises(ModelError, match=r"without log-probabilities.*transformers serve"):
            _ = served_by(server).started
        assert server.asked  # it answered 200


def test_sglang_that_gives_others_is_refused(pipe: Any) -> None:
    def wrong(path: str, answer: Any) -> Any:
        rows = answer.get("meta_info", {}).get("input_token_logprobs", [])
        for row in rows:
            row[1] = 3
        return answer

    with InferenceServer(pipe, "sglang") as server:
        server.twist = wrong
        with pytest.raises(ModelError, match="of tokens that were not sent"):
            _ = served_by(server).started

        def none(path: str, answer: Any) -> Any:
            answer.get("meta_info", {}).pop("input_token_logprobs", None)
            return answer

        server.twist = none
        with pytest.raises(ModelError, match=r"without log-probabilities.*return_logprob"):
            _ = served_by(server).started


def test_patience_with_what_passes(pipe: Any, expected: Any) -> None:
    with InferenceServer(pipe, "vllm") as server:
        function = function_of(served := served_by(server))
        server.fail("POST", "completions", status=429, headers={"Retry-After": "1"})
        for status in (408, 500, 502, 503):
            server.fail("POST", "completions", status=status)
        server.fail("POST", "completions", action="cut", times=3)
        server.fail("POST", "completions", action="truncate")
        start = time.monotonic()
        found = function(masks())
        assert time.monotonic() - start >= 1.0
        np.testing.assert_allclose(found, expected, atol=ROUNDING)
        assert served.servers.tally.retries >= 5


def test_a_refusal_is_an_error_at_once(pipe: Any) -> None:
    with InferenceServer(pipe, "vllm") as server:
        function = function_of(served := served_by(server))
        asked = served.servers.tally.requests
        server.fail("POST", "completions", status=400, message=f"too long: {'x' * 5000}", times=99)
        with pytest.raises(ModelError, match=r"HTTP 400: too long: x+") as raised:
            function(masks())
        assert len(str(raised.value)) < 600
        assert served.servers.tally.retries == 0
        assert served.servers.tally.requests == asked
        server.faults.clear()
        server.fail("POST", "completions", status=307, headers={"Location": "http://10.0.0.1/"})
        with pytest.raises(ModelError, match=r"HTTP 307.*redirects"):
            function(masks(1))
        server.fail("POST", "completions", status=503, headers={"Retry-After": "3600"})
        with pytest.raises(ModelError, match=r"asks to wait 3600 s.*more patience"):
            function(masks(1))


def test_an_answer_without_an_end_is_cut(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with InferenceServer(pipe, "vllm") as server:
        function = function_of(served_by(server))
        monkeypatch.setattr(line_module, "_MOST_BYTES", 3_000)
        server.twist = lambda path, answer: {**answer, "more": "x" * 10_000}
        with pytest.raises(ModelError, match="this is not an inference server"):
            function(masks(1))


def scored(server: InferenceServer) -> Counter[str]:
    """How often each question with numbers was answered."""
    bodies = [body for _, body in server.asked if body.get("echo")]
    return Counter(str(body["prompt"]) for body in bodies)


def test_a_restart_costs_no_answer(pipe: Any, expected: Any) -> None:
    with InferenceServer(pipe, "vllm") as server:
        function = function_of(served := served_by(server, concurrency=4))
        before = scored(server)
        server.delay = 0.01

        def restart() -> None:
            while sum((scored(server) - before).values()) < 30:
                time.sleep(0.005)
            server.kill()
            time.sleep(0.7)
            server.revive()

        thread = threading.Thread(target=restart)
        thread.start()
        found = function(masks())
        thread.join()
        np.testing.assert_allclose(found, expected, atol=ROUNDING)
        times = scored(server) - before
        question = max(times, key=times.__getitem__)  # that of the looks at the model
        assert times.pop(question) <= 8
        assert len(times) == len(masks())
        # Those in flight when it died may have been computed twice, no answer that had come was.
        assert sum(times.values()) <= len(masks()) + 4
        assert served.servers.tally.retries >= 1


def test_when_patience_is_over_the_answers_are_kept(pipe: Any, expected: Any) -> None:
    options = {"budget": 80, "rounds": 1, "proxy": "lasso", "progress": False, "noise": False}
    with InferenceServer(pipe, "vllm") as server:
        served = served_by(server, concurrency=4, patience=0.6)
        explainer = InteractionExplainer(served, target=" bored", **options)
        _ = served.started
        before = served.servers.tally.requests
        server.fail("POST", "completions", action="call", call=lambda: None, times=25)
        server.fail("POST", "completions", status=503, times=10_000)
        with pytest.raises(ModelError, match=r"HTTP 503.*patience=0\.6.*is kept"):
            explainer(TEXT)
        answered = served.servers.tally.requests - before
        assert answered >= 20
        server.faults.clear()
        before = served.servers.tally.requests
        found = explainer(TEXT)
        assert served.servers.tally.requests - before <= 80 - answered + 3
        own = InteractionExplainer(pipe, target=" bored", **options)(TEXT)
        np.testing.assert_allclose(
            found.record.queries.values, own.record.queries.values, atol=ROUNDING
        )


def test_another_model_after_a_restart_is_noticed(pipe: Any) -> None:
    with InferenceServer(pipe, "vllm") as server:
        function = function_of(served_by(server))
        server.kill()
        server.revive(Answers(generator(width=64), "vllm", "tiny"))
        with pytest.raises(
            ModelError, match="serves another model now: a question of the start-up"
        ):
            function(masks())
    with InferenceServer(pipe, "vllm") as server:
        function = function_of(served_by(server, dialect="completions", model="tiny"))
        server.kill()
        server.revive(Answers(pipe, "vllm", "renamed"))
        with pytest.raises(ModelError, match=r"serves 'renamed'|model `tiny` does not exist"):
            function(masks())


def test_another_model_without_a_restart_is_noticed_before_its_answers_count(pipe: Any) -> None:
    with InferenceServer(pipe, "vllm") as server:
        served = served_by(server)
        explainer = InteractionExplainer(
            served, target=" bored", budget=60, rounds=1, proxy="lasso", progress=False
        )
        _ = served.started

        def swap() -> None:
            server.answers = Answers(generator(width=64), "vllm", "tiny")

        server.fail("POST", "completions", action="call", call=lambda: None, times=20)
        server.fail("POST", "completions", action="call", call=swap)
        with pytest.raises(ModelError, match="serves another model now"):
            explainer(TEXT)
        assert explainer._memory._left == {}


def test_replicas_share_the_masks_and_a_dead_one_is_done_without(
    pipe: Any, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_flight: list[int] = []
    lock, at_once = threading.Lock(), 0
    asked = line_module.Line._asked

    def counted(*given: Any) -> Any:
        nonlocal at_once
        with lock:
            at_once += 1
            in_flight.append(at_once)
        try:
            return asked(*given)
        finally:
            with lock:
                at_once -= 1

    monkeypatch.setattr(line_module.Line, "_asked", counted)
    with InferenceServer(pipe, "vllm") as one, InferenceServer(pipe, "vllm") as two:
        function = function_of(served := served_by(one, two, concurrency=4))
        one.delay = two.delay = 0.003
        np.testing.assert_allclose(function(masks()), expected, atol=ROUNDING)
        assert min(one.scored, two.scored) > 20
        assert max(in_flight) == 4  # on both together
        threading.Timer(0.05, two.kill).start()
        np.testing.assert_allclose(function(masks()), expected, atol=ROUNDING)
        assert served.servers.tally.retries >= 1
        # A dead one at the start is not a hindrance.
        late = function_of(served_by(two, one))
        np.testing.assert_allclose(late(masks()[:5]), expected[:5], atol=ROUNDING)
        # It comes back with another model: it is compared before it is asked.
        two.revive(Answers(generator(width=64), "vllm", "tiny"))
        for line in served.servers.lines:
            line.down_until = 0.0
        with pytest.raises(ModelError, match="serves another model now"):
            function(masks())


def test_one_input_that_cannot_be_answered_costs_no_other(pipe: Any) -> None:
    texts = ["Not a bad film", "The plot is dull", "I was bored"]
    options = {"target": " so", "rounds": 1, "proxy": "lasso", "progress": False, "noise": False}
    with InferenceServer(pipe, "vllm") as server:
        served = served_by(server)
        bad = served.tokenizer(texts[1])["input_ids"]
        answer = server.answers.post

        def refusing(path: str, body: dict[str, Any]) -> Any:
            if body.get("echo") and body["prompt"][: len(bad)] == bad:
                raise Refused(400, "not this one")
            return answer(path, body)

        server.answers.post = refusing  # type: ignore[method-assign]
        found = InteractionExplainer(served, errors="keep", **options)(texts)
        assert isinstance(found[1], ModelError)
        assert "HTTP 400: not this one" in str(found[1])
        for place in (0, 2):
            own = InteractionExplainer(pipe, **options)(texts[place])
            np.testing.assert_allclose(
                found[place].record.queries.values, own.record.queries.values, atol=ROUNDING
            )


def test_a_replica_that_asks_for_an_hour_is_not_waited_for(pipe: Any) -> None:
    with InferenceServer(pipe, "vllm") as one, InferenceServer(pipe, "vllm") as two:
        served = served_by(one, two, patience=5.0)
        _ = served.dialect
        # In the middle of the start-up test, which is of one server.
        one.fail("POST", "completions", action="call", call=lambda: None, times=2)
        one.fail("POST", "completions", status=503, headers={"Retry-After": "20"})
        start = time.monotonic()
        with pytest.raises(ModelError, match=r"HTTP 503 and asks to wait 20 s.*patience=5"):
            _ = served.started
        assert time.monotonic() - start < 10.0


def test_a_replica_with_another_model_is_told_as_such(pipe: Any) -> None:
    other = generator(width=64)
    with InferenceServer(pipe, "vllm") as one, InferenceServer(other, "vllm") as two:
        function = function_of(served := served_by(one, two))
        assert served.started.noise < ROUNDING  # of the one that was tested
        with pytest.raises(ModelError, match="serves another model now"):
            function(masks())


def test_an_answer_that_trickles_is_late() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def trickle(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
            while True:
                connection.sendall(b" ")
                time.sleep(0.05)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=trickle, args=listener.accept()[:1], daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    served = ServedModel(url, tokenizer="unused", timeout=0.4, patience=0.5)
    start = time.monotonic()
    with pytest.raises(ModelError, match=r"no whole answer came within 0\.4 s \(timeout=0\.4\)"):
        _ = served.started
    assert time.monotonic() - start < 5.0
    listener.close()


def test_errors_say_what_the_server_said_and_no_token(pipe: Any) -> None:
    with InferenceServer(pipe, "vllm", token="right") as server:
        server.fail("GET", "models", status=401, message="Incorrect API key provided: s3cret-1")
        with pytest.raises(ModelError, match=r"API key provided: \[token\]\. Pass token="):
            _ = served_by(server, token="s3cret-1").started
        served = served_by(server, token="right")
        _ = served.started
        server.token = "another"
        # In a list as well: the error of each input has all that the first one had.
        found = InteractionExplainer(served, errors="keep")([TEXT, TEXT])
        for place, error in enumerate(found):
            assert isinstance(error, ModelError)
            assert str(error).startswith(f"inputs[{place}] of 2: 127.0.0.1:")
            assert error.status == 401  # type: ignore[attr-defined]
        server.token = None
        function = function_of(served)
        server.twist = lambda path, answer: {"error": {"message": "out of memory", "code": 500}}
        with pytest.raises(ModelError, match="/v1/completions with an error: out of memory"):
            function(masks(1))
        server.twist = None
        # A server that knows no such path says so with 501: that will not pass.
        server.fail("GET", "version|model_info", status=501, times=99)
        assert served_by(server).started.requests > 10


def test_an_endpoint_is_asked_as_the_hubs_client_asks_and_gets_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from huggingface_hub import InferenceClient, constants
    from huggingface_hub.utils import close_session

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_of_whoever_is_logged_in")
    close_session()
    classifier = roberta_pipeline()
    with InferenceServer(classifier, "endpoint") as server:
        client = InferenceClient(model=server.url)
        rows = client.text_classification(TEXT, top_k=3, function_to_apply="none")
        of_client = server.asked.pop()
        shown = server.shown.pop()
        assert shown == "Bearer hf_of_whoever_is_logged_in"
        served = served_by(server, task="text-classification", labels=list(LABELS.values()))
        assert served.started.requests == len(server.asked)
        function = InteractionExplainer(served).value_function(TEXT, target=rows[0].label)
        value = function(np.ones((1, function.n_features), dtype=bool))[0]
        assert value == pytest.approx(rows[0].score, abs=ROUNDING)
        assert of_client in server.asked
        assert set(server.shown) == {None}  # no token was given, so none is sent
        server.fail("POST", "/", status=307, headers={"Location": "http://127.0.0.1:9/"})
        with pytest.raises(ModelError, match=r"HTTP 307.*redirects"):
            function(np.zeros((1, function.n_features), dtype=bool))
    close_session()


def test_answers_of_a_slow_server_are_kept_as_they_come(
    pipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that is stopped has lost what came in some seconds, not 64 answers."""
    monkeypatch.setattr(servers_module, "_CONFIRM_AFTER", 0.3)
    with InferenceServer(pipe, "vllm") as server:
        function = function_of(served_by(server, concurrency=1))
        before = scored(server)
        server.delay = 0.05
        given = function.answered(function.items(masks()))
        places, rows = next(given)
        answered = sum((scored(server) - before).values())
        assert 0 < len(places) <= 8
        assert len(rows) == len(places)
        assert answered <= len(places) + 2  # the look at the model, and one in flight
        given.close()


def test_places_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    room = servers_module._Room(1)
    came: list[int] = []

    def use(name: int) -> None:
        with room:
            came.append(name)

    with room:
        threads = [threading.Thread(target=use, args=(name,)) for name in range(20)]
        for count, thread in enumerate(threads, 1):
            thread.start()
            while len(room._waiting) < count:
                time.sleep(0.001)
        assert came == []
    for thread in threads:
        thread.join()
    assert came == list(range(20))


def test_a_wait_for_a_place_that_is_stopped_takes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    room = servers_module._Room(1)

    class Stopped(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise KeyboardInterrupt

    with room:
        monkeypatch.setattr(servers_module.threading, "Event", Stopped)
        with pytest.raises(KeyboardInterrupt), room:
            raise AssertionError("never reached")
        monkeypatch.undo()
    with room:  # the place is there again
        assert room._free == 0
    assert room._free == 1
