"""ServedModel: a model behind one or several inference servers, in the place of a pipeline."""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import Mapping, Sequence
from time import sleep
from typing import Any

import torch

from proxyspex_hf.checks import FloatArray, as_integer, as_list, as_positive, one_of, quoted
from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.hf.evaluating import evaluating, model_device
from proxyspex_hf.hf.loading import KnownClasses, known_classes, load_tokenizer
from proxyspex_hf.hf.served.dialects.base import ClassDialect, Dialect, ScoringDialect, listed_model
from proxyspex_hf.hf.served.dialects.classify import Classify
from proxyspex_hf.hf.served.dialects.completions import Completions
from proxyspex_hf.hf.served.dialects.completions_text import CompletionsOfText
from proxyspex_hf.hf.served.dialects.endpoint import Endpoint
from proxyspex_hf.hf.served.dialects.sglang import SGLang, model_info
from proxyspex_hf.hf.served.line import Line, Lost, as_address
from proxyspex_hf.hf.served.question import Question
from proxyspex_hf.hf.served.servers import Servers
from proxyspex_hf.hf.served.startup import (
    PASSAGE,
    StartUp,
    as_reference,
    classes_tested,
    scores_tested,
)

_SCORING: tuple[type[ScoringDialect], ...] = (Completions, SGLang, CompletionsOfText)
_CLASSES: tuple[type[ClassDialect], ...] = (Classify, Endpoint)
_TASKS = ("text-generation", "text-classification")
#: What of a server's words decides an answer; the rest, such as a limit, may change at a restart.
_DECIDING = (
    *("id", "root", "parent", "model_path", "tokenizer_path", "weight_version", "model_type"),
)
#: Tokens at which the passage of the start-up test is cut: prompts of 8 to 20, outputs of 4 and 8.
_CUTS = ((8, 12), (12, 16), (8, 16), (20, 24))
#: Seconds between two looks at whether ids are taken: convention.
_BETWEEN = 0.3
#: Characters of the addresses in a record: its reader takes 1,000 of a device.
_LONGEST_PLACE = 900
#: Tokenizers state limits of this size or more where there is none.
_UNLIMITED = 10**7


class ServedModel:
    """A model that an inference server holds; goes where a pipeline goes.

    Nothing is asked until it is first explained; then a start-up test of some 20 requests finds out
    whether the server can be relied on. The value is that of the pipeline of the same model: of
    ``text-generation`` the log-perplexity of an output, of ``text-classification`` a number made of
    raw class scores. Token ids are sent wherever the server takes them.

    Args:
        url: the server's address, or a list of them: replicas, which share the masks.
        model: its name there; default the only one that the server lists.
        tokenizer: a transformers tokenizer, or its Hub id or directory; default that of ``model``.
        task: ``"text-generation"`` or ``"text-classification"``.
        dialect: ``"completions"`` (vLLM and what speaks like it), ``"sglang"``,
            ``"completions-text"`` (servers that take texts only), ``"classify"`` (vLLM),
            ``"endpoint"`` (Hugging Face Inference Endpoints); default found out by asking.
        labels: names of the classes in the order of the scores; default those of the model's
            config where it is at hand, else what the server says.
        token: sent to the servers as a bearer token, and nowhere else.
        concurrency: requests in flight at most, on all servers together.
        patience: seconds for which it is tried again after lost connections and answers that ask
            for it (408, 429, 5xx). Other refusals are errors at once.
        timeout: seconds to wait for one answer.
        reference: a pipeline of the same model; the start-up test compares the server with it.
        template: further arguments of the chat template, such as ``{"enable_thinking": False}``.

    Raises:
        InputError: an argument that cannot be used.

    Example:
        >>> served = ServedModel("http://host:8000/v1", model="my-model", tokenizer="me/my-model")
        >>> InteractionExplainer(served).pipe.task  # the server is asked when a text is explained
        'text-generation'
    """

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        model: str | None = None,
        tokenizer: Any = None,
        task: str = "text-generation",
        dialect: str | None = None,
        labels: Sequence[str] | None = None,
        token: str | None = None,
        concurrency: int = 16,
        patience: float = 300.0,
        timeout: float = 120.0,
        reference: Any = None,
        template: Mapping[str, Any] | None = None,
    ) -> None:
        one_of("task", task, _TASKS)
        urls = [url] if isinstance(url, str) else as_list("url", url, "addresses")
        self.urls = tuple(dict.fromkeys(map(as_address, urls)))
        if not self.urls:
            raise InputError("url is an empty list: give the address of a server.")
        kinds: tuple[type[Dialect], ...] = _CLASSES if task == _TASKS[1] else _SCORING
        if dialect is not None:
            one_of("dialect", dialect, [kind.name for kind in kinds])
        for name, given in (("model", model), ("token", token)):
            if given is not None and not (isinstance(given, str) and given.isprintable() and given):
                what = quoted(given) if name == "model" else f"a {type(given).__name__}"
                raise InputError(f"{name} must be a printable text, got {what}.")
        if token is not None and not (token.isascii() and token == token.strip()):
            raise InputError(
                "token holds a character that no HTTP header can: a space at an end, or one that "
                "is not ASCII. Pass it as it was given out."
            )
        self.task = task
        self.labels = None if labels is None else tuple(map(str, as_list("labels", labels)))
        self._asked_for, self._dialect_name, self._token = model, dialect, token
        self._given_tokenizer = tokenizer
        self._concurrency = as_integer("concurrency", concurrency, 1, 1024)
        self._patience = as_positive("patience", patience)
        self._timeout = as_positive("timeout", timeout)
        self._reference = reference
        is_known = task == _TASKS[1] and reference is not None
        self._classes_of_reference = KnownClasses.of(reference.model.config) if is_known else None
        #: What makes probabilities of a classifier's scores follows from it.
        self.problem: str | None = getattr(self._classes_of_reference, "problem", None)
        # Read as a pipeline's, on which nothing else is set.
        self._preprocess_params = (
            {"tokenizer_encode_kwargs": dict(template)} if template is not None else {}
        )
        self._open()

    def _open(self) -> None:
        lines = [Line(url, self._token, self._timeout) for url in self.urls]
        self.servers = Servers(lines, self._concurrency, self._patience)
        weakref.finalize(self, _close, lines)
        self._lock = threading.RLock()
        self._dialect: Dialect | None = None
        self._tokenizer: Any = None
        self._started: StartUp[Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What was given: connections are opened anew, and the start-up test is made anew."""
        own = ("servers", "_lock", "_dialect", "_tokenizer", "_started")
        return {k: v for k, v in vars(self).items() if k not in own} | {"_reference": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open()

    def beside(self) -> ServedModel:
        """The same for another thread: it shares the connections and the limit of requests in
        flight, and has a tokenizer of its own, since tokenizers are not safe to share."""
        _ = self.started
        other = object.__new__(ServedModel)
        vars(other).update(vars(self))
        other._tokenizer = copy.deepcopy(self.tokenizer)
        return other

    def __repr__(self) -> str:
        name = "" if self._asked_for is None else f", model={self._asked_for!r}"
        return f"ServedModel({', '.join(map(repr, self.urls))}{name})"

    @property
    def name(self) -> str:
        """What the model is called there."""
        return self.dialect.model

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer, loaded when it is first needed."""
        with self._lock:
            if self._tokenizer is None:
                given = self._given_tokenizer
                if given is None:
                    given = self.name
                self._tokenizer = load_tokenizer(given) if isinstance(given, str) else given
            return self._tokenizer

    @property
    def dialect(self) -> Dialect:
        """How the server is asked, found out when it is first needed.

        Raises:
            ModelError: it does not answer, or speaks no known dialect.
        """
        with self._lock:
            if self._dialect is None:
                self._dialect = self.servers.ask(self._spoken)
            return self._dialect

    @property
    def started(self) -> StartUp[Any]:
        """What the start-up test found; it is made when it is first needed.

        Raises:
            ModelError: the server cannot be used, and why.
        """
        with self._lock:
            if self._started is None:
                dialect = self.dialect
                line = self.servers.ask(lambda one: (dialect.says(one), one)[1])
                self._started = self._tested(dialect, line)
                for other in self.servers.lines:
                    other.suspect = other is not line  # compared before it is first asked
                self.servers.confirm = self._confirm
            return self._started

    def check(self) -> None:
        """See that no server has changed since the start-up test: each that can be reached is asked
        a question of it.

        Raises:
            ModelError: another model, what was answered once is refused now, or none is there.
        """
        _ = self.started
        self.servers.begin()
        if not self.servers.confirmed(suspects=True):
            raise ModelError(
                f"{', '.join(self.urls)}: no server answers a question of the start-up test."
            )

    @property
    def identity(self) -> dict[str, Any]:
        """What decides its answers, as far as the server says: the key of stored ones."""
        said = {name: value for name, value in self.started.says.items() if name in _DECIDING}
        return {
            "dialect": self.dialect.name,
            "says": said,
            "labels": None if self.labels is None else list(self.labels),
            "template": self._preprocess_params,
        }

    @property
    def place(self) -> str:
        """Where it is served and how it was asked, for records."""
        return f"{', '.join(self.urls)[:_LONGEST_PLACE]} (dialect {self.dialect.name})"

    @property
    def version(self) -> dict[str, str]:
        """The server's own version, where it says one."""
        said = self.started.says.get("version")
        return {} if said is None else {"server": said}

    @property
    def longest(self) -> int | None:
        """Tokens that the model takes; None where neither server nor tokenizer states a limit."""
        said = self.started.says.get("max_model_len", "")
        # A language model generates one, although nobody wants it.
        limits = [int(said) - (self.task == _TASKS[0])] if said.isdecimal() else []
        own = getattr(self.tokenizer, "model_max_length", None)
        if isinstance(own, int) and 0 < own < _UNLIMITED:
            limits.append(own)
        return min(limits, default=None)

    def _confirm(self, line: Line) -> None:
        """See that a server has the model that was tested; what it says of it, where it may have
        been started anew."""
        started, dialect = self.started, self.dialect
        says = dialect.says(line) if line.suspect else started.says
        for name in _DECIDING:
            if says.get(name) != started.says.get(name):
                raise ModelError(
                    f"{line.place} serves another model now: its {name} is {says.get(name)!r}, it "
                    f"was {started.says.get(name)!r}. What was answered before is kept; make a new "
                    "ServedModel to ask this one."
                )
        started.confirm(line)

    def _spoken(self, line: Line) -> Dialect:
        """The dialect of a server."""
        kinds: tuple[type[Dialect], ...] = (*_SCORING, *_CLASSES)
        named = {kind.name: kind for kind in kinds}
        if self._dialect_name == Endpoint.name:
            return Endpoint(self._asked_for or line.place)
        listed = listed_model(line, self._asked_for)
        model = self._asked_for if listed is None else listed[0]
        if self._dialect_name is not None:
            info = model_info(line) if self._dialect_name == SGLang.name else None
            model = model or (info or {}).get("model_path")
        elif self.task == _TASKS[1]:
            known = listed is not None
            self._dialect_name = (Classify if known else Endpoint).name
            model = model or line.place
        elif (info := model_info(line)) is not None:
            self._dialect_name, model = SGLang.name, model or info["model_path"]
        if model is None:
            raise ModelError(f"{line.place} does not list its models: name it with model=....")
        if self._dialect_name is None:
            self._dialect_name = _takes_ids(line, model)
        return named[self._dialect_name](model)

    def _tested(self, dialect: Dialect, line: Line) -> StartUp[Any]:
        if isinstance(dialect, ClassDialect):
            known = self.labels or self._known_labels()
            if dialect.names_classes:
                dialect.labels, dialect.likely = self.labels, known
            else:
                dialect.labels = known
            texts = [self._asked_as(text) for text in PASSAGE.split(", ")]
            reference = None if self._reference is None else self._reference_logits
            found = classes_tested(self.servers.only(line), line, dialect, texts, reference)
            self._name_labels(dialect, len(found.expected))
            return found
        if not isinstance(dialect, ScoringDialect):
            raise ModelError(f"the dialect {dialect.name!r} asks neither classes nor outputs.")
        by_pipeline = None if self._reference is None else as_reference(self._reference)
        questions = self._questions(dialect)
        return scores_tested(
            self.servers.only(line), line, dialect, questions, by_pipeline, self._decoded
        )

    def _decoded(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    def _questions(self, dialect: ScoringDialect) -> list[Question]:
        """Those of the start-up test."""
        if dialect.takes == "text":
            words = PASSAGE.split()
            return [
                self.question(" ".join(words[:a]), " " + " ".join(words[a:b])) for a, b in _CUTS
            ]
        ids = self.tokenizer(PASSAGE)["input_ids"]
        return [Question(tuple(ids[:a]), tuple(ids[a:b]), "", b) for a, b in _CUTS]

    def question(
        self,
        prompt: str,
        said: str,
        tokens: Sequence[int] | None = None,
        read: Sequence[int] | None = None,
    ) -> Question:
        """A question to a server that takes texts only.

        Args:
            prompt: all that the model reads before the output.
            said: the output.
            tokens: its ids; default as the tokenizer reads it.
            read: the prompt's; default the same.

        Raises:
            ModelError: the two side by side are read as other tokens.
        """
        tokenizer = self.tokenizer
        own = tokenizer(said, add_special_tokens=False)["input_ids"] if tokens is None else tokens
        prompt = self.without_begin(prompt)
        whole = list(tokenizer(prompt + said, verbose=False)["input_ids"])
        stop = len(whole) - _after(tokenizer)
        if whole[stop - len(own) : stop] != list(own):
            raise ModelError(
                "the end of the prompt and the beginning of the output are read as one token, and "
                "this server takes texts only. Give prompts with a chat template, so that they "
                "always end alike, or a server that takes token ids (vLLM, SGLang)."
            )
        if read is not None and whole[: stop - len(own)] != list(read):
            raise ModelError(
                f"this server takes texts only, and reads this prompt as {stop - len(own)} tokens "
                f"where the model is to read {len(read)}: it puts {tokenizer.bos_token!r} before "
                "every text, which the chat template or the prompt leaves out, or what is masked "
                "is read in other tokens. Give a server that takes token ids (vLLM, SGLang)."
            )
        return Question(prompt, tuple(own), said, len(whole))

    def without_begin(self, prompt: str) -> str:
        """A prompt without the token that begins a text: a server that takes texts puts it there
        by itself, as the tokenizer does."""
        begin = self.tokenizer.bos_token
        adds = bool(begin) and self.tokenizer("a")["input_ids"][0] == self.tokenizer.bos_token_id
        return prompt[len(begin) :] if adds and prompt.startswith(begin) else prompt

    def _asked_as(self, text: str) -> tuple[int, ...] | str:
        """A text as a classifier's server takes it."""
        if self.dialect.takes == "text":
            return text
        return tuple(self.tokenizer(text, verbose=False)["input_ids"])

    def _reference_logits(self, item: tuple[int, ...] | str) -> FloatArray:
        model = self._reference.model
        ids = self.tokenizer(item)["input_ids"] if isinstance(item, str) else list(item)
        with evaluating(model):
            rows = model(input_ids=torch.tensor([ids], device=model_device(model))).logits
        found: FloatArray = rows[0].double().cpu().numpy()
        return found

    def _known_labels(self) -> tuple[str, ...] | None:
        place = self._given_tokenizer
        if not isinstance(place, str):
            place = getattr(self._given_tokenizer, "name_or_path", None) or self.name
        known = known_classes(str(place)) or self._classes_of_reference
        if known is None:
            return None
        self.problem = self.problem or known.problem
        return known.labels

    def _name_labels(self, dialect: ClassDialect, count: int) -> None:
        names = dialect.labels or tuple(f"LABEL_{i}" for i in range(count))
        if len(names) != count:
            raise ModelError(
                f"the server gives {count} scores per text, but {len(names)} labels are known: "
                "pass labels=[...] in the order of the scores."
            )
        dialect.labels = self.labels = names


def _close(lines: Sequence[Line]) -> None:
    for line in lines:
        line.close()


def _takes_ids(line: Line, model: str) -> str:
    """Whether a completions API takes token ids, by a request or a few."""
    for last in (False, False, True):
        try:
            Completions(model).output(line, (1, 2), 1)
        except ModelError:
            break
        except Lost as lost:
            if lost.status != 500:
                raise
            if not last:
                sleep(_BETWEEN)
        else:
            return Completions.name
    # llama-cpp-python answers ids with 500, as others do when they are in trouble for a moment.
    return CompletionsOfText.name


def _after(tokenizer: Any) -> int:
    """Special tokens that a tokenizer puts behind every text."""
    plain = len(tokenizer("a", add_special_tokens=False)["input_ids"])
    special = tokenizer("a")["input_ids"]
    begin = tokenizer.bos_token_id
    before = 1 if begin is not None and special[:1] == [begin] else 0
    return max(0, len(special) - plain - before)
