"""Prompts with fixed and maskable parts: instruction and question stay, the context is masked.

prompt = context_prompt({"Doc A": "…", "Doc B": "…"}, question="Who wrote it?")
explainer(prompt, features="documents")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from proxyspex_hf.checks import quoted
from proxyspex_hf.errors import InputError


@dataclass(frozen=True)
class PromptPart:
    """A piece of a prompt.

    Attributes:
        text: its characters, spaces and line ends included.
        name: what it is, as a reader sees it.
        masked: whether its words, sentences or itself are features.

    Raises:
        InputError: ``text`` or ``name`` is not a text.

    Example:
        >>> PromptPart("Jim has a dog.", "story", masked=True).name
        'story'
    """

    text: str
    name: str
    masked: bool = False

    def __post_init__(self) -> None:
        _check_text(f"the part {quoted(self.name)} of a prompt", self.text)
        _check_text("the name of a prompt's part", self.name)


@dataclass(frozen=True)
class Prompt:
    """A prompt in parts.

    Attributes:
        parts: in order; side by side they are the prompt.
        system: a system message, never masked.
        chat: whether the tokenizer's chat template is put around it; None where it has one.
        special_tokens: whether the tokenizer adds its own, such as one for the beginning; a chat
            template writes them itself, and so has a text around which one was put.
        prefix: whether the pipeline puts its own ``prefix`` before; it does not before a chat, or
            without ``special_tokens``.
        blocks: ranges of the text that are masked each on its own, as the messages of a chat are:
            a word deleted at their edge takes the space on its inner side. Default: the whole.

    Raises:
        InputError: no part is masked and has a text.

    Example:
        >>> story = PromptPart("Jim has a dog.", "story", masked=True)
        >>> Prompt((story, PromptPart(" Who?", "question"))).text
        'Jim has a dog. Who?'
    """

    parts: tuple[PromptPart, ...]
    system: str | None = None
    chat: bool | None = None
    special_tokens: bool = True
    prefix: bool = True
    blocks: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not any(part.masked and part.text.strip() for part in self.parts):
            raise InputError(
                "the prompt has no part to mask: give one of its parts masked=True and a text."
            )

    @property
    def text(self) -> str:
        """The prompt without the chat template."""
        return "".join(part.text for part in self.parts)


def context_prompt(
    context: str | Sequence[str] | Mapping[str, str],
    question: str,
    *,
    instruction: str = "",
    system: str | None = None,
) -> Prompt:
    """A question over a context, or over retrieved documents (named, if a mapping is given).

    The context is masked; the instruction, the documents' names and the question are not.

    Args:
        context: one text, a list of documents, or documents by their names.
        question: what is asked about it.
        instruction: what stands before the context.
        system: a system message.

    Raises:
        InputError: no context, or something that is not a text.

    Example:
        >>> prompt = context_prompt("Jim has a dog.", question="Who has a dog?")
        >>> [part.text for part in prompt.parts if part.masked]
        ['Jim has a dog.']
    """
    _check_text("question", question)
    if isinstance(context, str):
        named = [("context", context)]
    elif isinstance(context, Mapping):
        named = list(context.items())
    elif isinstance(context, Iterable):
        named = [(f"document {i}", text) for i, text in enumerate(context, 1)]
    else:
        raise InputError(
            "context must be a text, a list of texts, or texts by their names, got "
            f"{quoted(context)}."
        )
    parts = [PromptPart(f"{instruction}\n\n", "instruction")] if instruction else []
    for name, text in named:
        if isinstance(context, Mapping):
            parts.append(PromptPart(f"{name}:\n", "name"))
        parts += [PromptPart(text, name, masked=True), PromptPart("\n\n", "space")]
    parts.append(PromptPart(f"Question: {question}\nAnswer:", "question"))
    return Prompt(tuple(parts), system)


def hotpotqa_prompt(documents: Sequence[tuple[str, str]], question: str) -> Prompt:
    """The paper's HotpotQA format (appendix B.1.3): documents whose contents are masked.

    Args:
        documents: pairs of a title, which stays, and a content, which is masked.
        question: what is asked about them.

    Raises:
        InputError: no documents, something else than pairs, or something that is not a text.

    Example:
        >>> prompt = hotpotqa_prompt([("Rex", "Rex is a dog.")], question="What is Rex?")
        >>> prompt.text.splitlines()[0]
        'Title: Rex'
    """
    parts = []
    for document in documents if isinstance(documents, Iterable) else [documents]:
        if not isinstance(document, (tuple, list)) or len(document) != 2:
            raise InputError(
                "documents must be pairs (title, content), such as [('Rex', 'Rex is a dog.')]; "
                f"one is {quoted(document)}."
            )
        title, content = document
        parts += [
            PromptPart(f"Title: {title}\nContent: ", "title"),
            PromptPart(content, title, masked=True),
            PromptPart("\n", "space"),
        ]
    return Prompt((*parts, _query(question)))


def drop_prompt(context: str, question: str) -> Prompt:
    """The paper's DROP format (appendix B.1.4): a paragraph, which is masked, and a question.

    Args:
        context: the paragraph.
        question: what is asked about it.

    Raises:
        InputError: no context, or something that is not a text.

    Example:
        >>> drop_prompt("Jim has a dog.", question="Who has a dog?").text.splitlines()[0]
        'Context: Jim has a dog.'
    """
    return Prompt(
        (
            PromptPart("Context: ", "instruction"),
            PromptPart(context, "context", masked=True),
            PromptPart("\n", "space"),
            _query(question),
        )
    )


def _query(question: str) -> PromptPart:
    _check_text("question", question)
    text = f"Query: {question.rstrip('.')}. Keep your answers as short as possible."
    return PromptPart(text, "question")


def _check_text(what: str, value: object) -> None:
    if not isinstance(value, str):
        raise InputError(f"{what} must be a text, got {quoted(value)}.")
