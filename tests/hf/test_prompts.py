"""Prompts and chats: each mask is read as the pipeline reads the masked text or messages."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from tiny_pipelines import generator, picture, vision_language
from tokenizers.processors import TemplateProcessing
from transformers.utils.chat_template_utils import Chat

from proxyspex_hf import InputError, InteractionExplainer, InteractionExplanation
from proxyspex_hf.binding import bound_again
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.stages import Stages
from proxyspex_hf.hf.text.chat import located
from proxyspex_hf.hf.text.masking import MaskedText
from proxyspex_hf.hf.text.prompt import ReadPrompt, read_prompt
from proxyspex_hf.hf.text.tokens import tokens_read
from proxyspex_hf.prompts import (
    Prompt,
    PromptPart,
    context_prompt,
    drop_prompt,
    hotpotqa_prompt,
)
from proxyspex_hf.viz.code import python_code

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
#: Opens a block of thoughts in the generation prompt, as DeepSeek-R1's does.
THINK = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
LLAMA_3 = (
    "{{ bos_token }}{% for message in messages %}"
    "<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n{{ message['content'] | trim }}"
    "<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}"
    "{% endif %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "<start_of_turn>{{ role }}\n{{ message['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
#: The system message goes into the last question, as in Mistral's.
MISTRAL = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}"
    "{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}{{ bos_token }}"
    "{% for message in rest %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('After the optional system message, roles must alternate') }}{% endif %}"
    "{% if message['role'] == 'user' %}[INST] {% if loop.last and system is defined %}"
    "{{ system + '\n\n' }}{% endif %}{{ message['content'] }}[/INST]"
    "{% else %} {{ message['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
QWEN = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- if '</think>' in content %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- if message.tool_calls %}
            {%- for call in message.tool_calls %}
                {{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
                {{- call.function.arguments | tojson }}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' + content + '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""
#: Contents in parts, joined, as templates of models that also see write them.
IN_PARTS = (
    "{% for m in messages %}[{{ m.role }}]{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for p in m.content %}{% if p.type == 'text' %}{{ p.text | trim }}{% else %}<{{ p.type }}>"
    "{% endif %}{% endfor %}{% endif %}|{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
TEMPLATES = {
    "ChatML": CHATML, "think": THINK, "Llama 3": LLAMA_3, "Gemma": GEMMA, "Mistral": MISTRAL,
    "Qwen": QWEN,
}  # fmt: skip

USER = {"role": "user", "content": "  Name a film that is not dull.\n"}
SAID = {"role": "assistant", "content": "The film is"}
SYSTEM = {"role": "system", "content": "Be brief, user."}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"type": "function", "function": {"name": "imdb", "arguments": {"id": 8}}}],
}
THOUGHT = {"role": "assistant", "content": "Is it dull? </think> It is not."}
RESULT = {"role": "tool", "content": "rating is 8 of 10", "name": "imdb"}
AGAIN = {"role": "user", "content": "user assistant user"}
CHATS: dict[str, list[dict[str, Any]]] = {
    "question": [USER],
    "prefill": [USER, SAID],
    "turns": [AGAIN, SAID, AGAIN],
    "system": [SYSTEM, USER],
    "system alone": [SYSTEM],
    "tool": [USER, CALL, RESULT],
    "two tools": [USER, CALL, RESULT, RESULT],
}
#: What a template of the kind refuses.
REFUSED = {
    ("Gemma", name) for name in ("system", "system alone", "tool", "two tools")
} | {("Mistral", "tool"), ("Mistral", "two tools"), ("Mistral", "system alone")}  # fmt: skip
TOOLS = [
    {
        "type": "function",
        "function": {"name": "imdb", "description": "ratings", "parameters": {}},
    }
]


@cache
def _tiny() -> Any:
    pipe = generator()
    first = pipe.tokenizer.convert_ids_to_tokens(0)
    pipe.tokenizer.bos_token = first
    pipe.tokenizer._tokenizer.post_processor = TemplateProcessing(
        single=f"{first} $A", special_tokens=[(first, 0)]
    )
    return pipe


def pipe_of(template: str | None, **settings: Any) -> Any:
    """A generator that begins each plain text with a special token; settings as pipelines take."""
    tokenizer = copy.deepcopy(_tiny().tokenizer)
    tokenizer.chat_template = template
    return tf.TextGenerationPipeline(
        model=_tiny().model, tokenizer=tokenizer, device="cpu", **settings
    )


def read(pipe: Any, value: Any, **options: Any) -> tuple[ReadPrompt, MaskedText]:
    chosen = FeatureOptions(**options)
    found = read_prompt(pipe, value, chosen)
    token = None if chosen.masking == "delete" else chosen.mask_token or "_"
    stages = Stages(pipe, parameters=found.call)
    masked = found.masked(
        pipe.tokenizer,
        chosen,
        token,
        official=lambda mask: tokens_read(stages.inputs(found.pipeline_input(mask, masked))),
    )
    return found, masked


def masks_of(n: int, count: int = 10) -> np.ndarray:
    rng = np.random.default_rng(0)
    ends = np.stack([np.ones(n, bool), np.zeros(n, bool)])
    return np.concatenate([ends, rng.random((count, n)) < rng.random((count, 1))])


def by_pipeline(pipe: Any, given: Any, **call: Any) -> list[int]:
    """Token ids that the pipeline itself makes of an input."""
    given = Chat(given) if isinstance(given, list) else given
    made = pipe.preprocess(given, **{**pipe._preprocess_params, **call})
    ids: list[int] = made["input_ids"][0].tolist()
    return ids


def check(pipe: Any, value: Any, alike: bool = True, **options: Any) -> tuple[ReadPrompt, Any]:
    """Token ids of each mask are the pipeline's own for the masked input."""
    found, masked = read(pipe, value, **options)
    masks = masks_of(len(found.features))
    assert (masked.reading != "official") == alike
    for mask in masks:
        given = found.pipeline_input(mask, masked)
        expected = by_pipeline(pipe, given, **found.call)
        text = found.masked_text(mask, masked)
        assert pipe.tokenizer(text, **found.settings)["input_ids"] == expected
        (item,) = masked.items(mask[None])
        assert np.frombuffer(item, dtype=np.int64).tolist() == expected
    assert found.masked_text(masks[0], masked) == found.text
    for label, (start, stop) in zip(found.features.labels, found.features.spans, strict=True):
        if options.get("features") != "documents":
            assert found.text[start:stop] == label
    return found, masked


@pytest.mark.parametrize("masking", ["mask", "delete"])
@pytest.mark.parametrize("name", list(CHATS))
@pytest.mark.parametrize("template", list(TEMPLATES))
def test_masked_chats_have_the_pipelines_own_tokens(template: str, name: str, masking: str) -> None:
    pipe, messages = pipe_of(TEMPLATES[template]), CHATS[name]
    if (template, name) in REFUSED:
        with pytest.raises(InputError, match=r"the chat template (refuses|leaves out)"):
            read(pipe, messages)
        return
    kept = [dict(message) for message in messages]
    # A stripped prefill without any word: the pipeline strips what stands before it, too.
    bare = name == "prefill" and masking == "delete" and template in ("Llama 3", "Gemma")
    found, masked = check(pipe, messages, not bare, masking=masking)
    everything = np.ones(len(found.features), bool)
    assert found.pipeline_input(everything, masked) == messages == kept
    emptied = found.pipeline_input(~everything, masked)
    assert emptied[:-1] == messages[:-1]
    assert {k: v for k, v in emptied[-1].items() if k != "content"} == {
        k: v for k, v in messages[-1].items() if k != "content"
    }
    assert [part.name for part in found.parts] == [messages[-1]["role"]]
    assert found.text[slice(*found.blocks[0])] == messages[-1]["content"].strip()
    assert found.features.labels == tuple(messages[-1]["content"].split())
    # Other divisions, and every message at once.
    check(pipe, messages, not bare, masking=masking, features="sentences")
    every = {"messages": messages, "mask": "all"}
    check(pipe, every, not bare, masking=masking, features="documents")
    check(pipe, every, not bare, masking=masking)


def test_tokens_of_a_message_are_features() -> None:
    for template in (CHATML, LLAMA_3):
        for masking in ("mask", "delete"):
            found, _ = check(pipe_of(template), [USER], features="tokens", masking=masking)
            assert "".join(found.features.labels).replace(" ", "") == "Nameafilmthatisnotdull."


def test_a_prefill_is_continued_and_a_tool_answered() -> None:
    pipe = pipe_of(CHATML)
    found, masked = read(pipe, [USER, SAID], masking="delete")
    assert found.text.endswith("<|im_start|>assistant\nThe film is")
    nothing = np.zeros(3, bool)
    assert found.masked_text(nothing, masked).endswith("<|im_start|>assistant\n")
    found, _ = read(pipe, [USER, CALL, RESULT], masking="delete")
    assert found.text.endswith("tool\nrating is 8 of 10<|im_end|>\n<|im_start|>assistant\n")
    closed = pipe_of(CHATML, continue_final_message=False)
    found, _ = check(closed, [USER, SAID])
    assert found.text.endswith("The film is<|im_end|>\n<|im_start|>assistant\n")
    begun = pipe_of(CHATML, continue_final_message=True)
    found, _ = check(begun, [SYSTEM, AGAIN])
    assert found.text.endswith("user\nuser assistant user")


def test_what_is_set_on_the_pipeline_reaches_the_template() -> None:
    pipe = pipe_of(QWEN, tools=TOOLS, tokenizer_encode_kwargs={"enable_thinking": False})
    found, _ = check(pipe, [SYSTEM, USER], masking="delete")
    assert found.text.endswith("assistant\n<think>\n\n</think>\n\n")
    assert '"description": "ratings"' in found.text
    plain, _ = check(pipe_of(QWEN), [SYSTEM, USER])
    assert "ratings" not in plain.text
    assert plain.text.endswith("assistant\n")
    template = "{% for d in documents %}{{ d.text }} {% endfor %}" + CHATML
    held = pipe_of(template, documents=[{"title": "a", "text": "Rex barks."}])
    assert check(held, [USER])[0].text.startswith("Rex barks. <|im_start|>user")
    own = pipe_of(None, tokenizer_encode_kwargs={"chat_template": LLAMA_3})
    assert "<|eot_id|>" in check(own, [USER], masking="delete")[0].text
    # The prefix of the pipeline does not stand before a chat.
    assert check(pipe_of(CHATML, prefix="Once. "), [USER])[0].text.startswith("<|im_start|>")


@pytest.mark.parametrize(
    ("mask", "features"),
    [
        (None, ("Name", "a", "film", "that", "is", "not", "dull.")),
        (0, ("Be", "brief,", "user.")),
        (-2, ("The", "film", "is")),
        ("assistant", ("The", "film", "is")),
        ([0, 2], ("Be", "brief,", "user.", "The", "film", "is")),
        (["assistant", "system", 0], ("Be", "brief,", "user.", "The", "film", "is")),
    ],
)
def test_other_messages_can_be_masked(mask: Any, features: tuple[str, ...]) -> None:
    chat = [SYSTEM, AGAIN, SAID, USER]
    given = {"messages": chat} if mask is None else {"messages": chat, "mask": mask}
    for template in (CHATML, LLAMA_3, QWEN, MISTRAL):
        found, _ = check(pipe_of(template), given, masking="delete")
        assert sorted(found.features.labels) == sorted(features)
    assert check(pipe_of(CHATML), tuple(chat))[0].features.labels[0] == "Name"


def test_messages_are_one_feature_each() -> None:
    chat = {"messages": [SYSTEM, AGAIN, SAID, USER], "mask": "all"}
    found, masked = check(pipe_of(CHATML), chat, features="documents", masking="delete")
    assert found.features.labels == ("system", "user 1", "assistant", "user 2")
    assert [part.name for part in found.parts] == list(found.features.labels)
    given = found.pipeline_input(np.array([True, False, True, False]), masked)
    assert [m["content"] for m in given] == [SYSTEM["content"], "", SAID["content"], "  \n"]
    # A template that moves the system message: its features follow where they are read.
    moved, masked = check(pipe_of(MISTRAL), chat, features="documents", masking="delete")
    assert moved.features.labels == ("user 1", "assistant", "system", "user 2")
    given = moved.pipeline_input(np.array([True, True, False, True]), masked)
    assert given[0]["content"] == ""
    assert given[1:] == [AGAIN, SAID, USER]


def test_contents_in_parts() -> None:
    content = [
        {"type": "text", "text": "Look here:"},
        {"type": "image"},
        {"type": "text", "text": " Is it dull? ", "cache": True},
    ]
    chat = [{"role": "user", "content": content}]
    for masking in ("mask", "delete"):
        found, masked = check(pipe_of(IN_PARTS), chat, masking=masking)
        assert found.text == "[user]Look here:<image>Is it dull?|[assistant]"
        assert found.features.labels == ("Look", "here:", "Is", "it", "dull?")
    (message,) = found.pipeline_input(np.array([True, False, False, True, True]), masked)
    assert message["content"][0] == {"type": "text", "text": "Look"}
    assert message["content"][1] == {"type": "image"}
    assert message["content"][2] == {"type": "text", "text": " it dull? ", "cache": True}
    assert content[0]["text"] == "Look here:"
    # A template that knows no parts writes Python: that is what the model reads, and it is said.
    found, _ = check(pipe_of(CHATML), chat, masking="delete")
    assert "[{'type': 'text', 'text': 'Look here:'}" in found.text
    assert "does not know contents in parts" in found.notes[0]


def test_words_of_the_template_are_not_taken_for_the_message() -> None:
    for word in ("hi", "think", "user", "assistant", "im_start", "k", "[[0:0]]"):
        found, masked = check(pipe_of(THINK), [{"role": "user", "content": word}], masking="delete")
        emptied = found.masked_text(np.zeros(1, bool), masked)
        assert emptied == "<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n<think>\n"


def test_a_template_that_asks_what_a_message_says_is_asked() -> None:
    """Empty messages are left out: the value is what the template makes of the masked chat."""
    skips = CHATML.replace("%}<|im_start|>{{", "%}{% if m['content'] %}<|im_start|>{{", 1).replace(
        "{% endfor %}", "{% endif %}{% endfor %}"
    )
    pipe = pipe_of(skips)
    found, masked = check(pipe, [SYSTEM, SAID, AGAIN], alike=False, masking="delete")
    empty = found.masked_text(np.zeros(3, bool), masked)
    assert "user\n<|im_end|>" not in empty
    check(pipe, [SYSTEM, SAID, AGAIN], masking="mask")
    function = InteractionExplainer(pipe, masking="delete", target=" fun").value_function(
        [SYSTEM, SAID, AGAIN]
    )
    masks = masks_of(3)
    expected = [value_by_pipeline(pipe, function, mask) for mask in masks]
    np.testing.assert_allclose(function(masks), expected, rtol=1e-4)


def value_by_pipeline(pipe: Any, function: Any, mask: np.ndarray, **call: Any) -> float:
    """The log-perplexity of the target after what the pipeline makes of the masked input."""
    prompt = by_pipeline(pipe, function.masked_input(mask), **call)
    target = function.target_ids
    with torch.inference_mode():
        logits = pipe.model(input_ids=torch.tensor([[*prompt, *target.tolist()]])).logits[0]
    after = logits[len(prompt) - 1 : -1].log_softmax(-1)
    return -after.gather(1, torch.from_numpy(target)[:, None]).mean().item()


@pytest.mark.parametrize("masking", ["mask", "delete"])
@pytest.mark.parametrize("name", ["question", "prefill", "tool"])
@pytest.mark.parametrize("template", ["ChatML", "Llama 3", "Qwen"])
def test_values_are_those_of_the_masked_chat_and_are_asked_again(
    template: str, name: str, masking: str, tmp_path: Path
) -> None:
    pipe = pipe_of(TEMPLATES[template], tokenizer_encode_kwargs={"enable_thinking": False})
    token = "_" if masking == "mask" else None
    explainer = InteractionExplainer(
        pipe, masking=masking, mask_token=token, target=" great fun", proxy="lasso", progress=False
    )
    chat = {"messages": CHATS[name], "mask": [0, -1]}
    function = explainer.value_function(chat)
    masks = masks_of(function.n_features)
    expected = [value_by_pipeline(pipe, function, mask) for mask in masks]
    np.testing.assert_allclose(function(masks), expected, rtol=1e-3, atol=1e-4)

    made = explainer(chat, budget=20, n_test=2, max_order=2)
    assert made.record.is_chat
    made.save(tmp_path / "e.json")
    explanation = InteractionExplanation.load(tmp_path / "e.json")
    queries = explanation.record.queries
    given = None
    if (template, name, masking) == ("Llama 3", "prefill", "delete"):
        # The pipeline strips what stands before an empty prefill: the text does not tell that.
        with pytest.raises(InputError, match="pass inputs="):
            explainer.ask(explanation, queries.masks)
        given = chat
    again = explainer.ask(explanation, queries.masks, inputs=given)
    np.testing.assert_allclose(again, queries.values, rtol=1e-4, atol=1e-5)
    (removal,) = explainer.check_removal(explanation, [1], inputs=given)
    assert removal.full == pytest.approx(explanation.record.full_value, rel=1e-4)
    mask = removal.solution.mask
    assert removal.actual == pytest.approx(value_by_pipeline(pipe, function, mask), rel=1e-3)
    # The tokens themselves, of what is made again from the record alone.
    rebuilt = bound_again(pipe, explainer.options, explanation.record, given)
    if given is None:
        names: dict[str, Any] = {"pipe": pipe}
        code = python_code(explanation.record)
        exec("from proxyspex_hf import InteractionExplainer, Prompt, PromptPart\n", names)
        exec(code[code.index("\n", code.index("pipe = ")) :], names)
        copied = names["explanation"].record.queries
        np.testing.assert_allclose(copied.values, queries.values, rtol=1e-4, atol=1e-5)
    assert rebuilt.items(masks) == function.items(masks)


def test_a_chat_that_its_text_does_not_tell_is_not_asked_again_without_it() -> None:
    skips = CHATML.replace("{{ m['content'] }}", "{{ m['content'] or 'nothing' }}")
    explainer = InteractionExplainer(
        pipe_of(skips), masking="delete", target=" fun", progress=False
    )
    explanation = explainer([AGAIN])
    masks, values = explanation.record.queries.masks, explanation.record.queries.values
    with pytest.raises(InputError, match=r"writes other text around masked messages.*inputs="):
        explainer.ask(explanation, masks)
    assert "the chat itself reads otherwise" in python_code(explanation.record)
    again = explainer.ask(explanation, masks, inputs=[AGAIN])
    np.testing.assert_allclose(again, values, rtol=1e-4)


@pytest.mark.parametrize(
    ("template", "value", "message"),
    [
        (None, [USER], "this tokenizer has no chat template: give a text"),
        (None, Prompt((PromptPart("a", "a", masked=True),), chat=True), "has no chat template"),
        (CHATML, [{"role": "user", "content": "  "}], "no message of the chat has a text"),
        (CHATML, [CALL], "no message of the chat has a text"),
        (CHATML, {"messages": []}, "a chat is {'messages'"),
        (CHATML, {"messages": [USER], "masked": 0}, "got 'messages', 'masked'"),
        (CHATML, {"messages": [USER], "mask": 3}, "mask=3: the chat has 1 messages"),
        (CHATML, {"messages": [USER], "mask": []}, "'mask' of a chat names no message"),
        (CHATML, {"messages": [USER], "mask": "tool"}, "no message 'tool' with a text.*'user'"),
        (CHATML, {"messages": [USER], "mask": 1.5}, "a list of roles and indices, got 1.5"),
        (CHATML, {"messages": [USER], "mask": [True]}, "a list of roles and indices"),
        (CHATML, {"messages": [CALL, USER], "mask": 0}, r"message 0 \(assistant\) has no text"),
        (CHATML, [{"role": "user"}], r"message 0 of the chat \(user\) has no 'content'"),
        (CHATML, [USER, "hello"], "message 1 of the chat must be a mapping.*'hello'"),
        (GEMMA, [SYSTEM, USER], "refuses these messages .system, user.: System role not supp"),
        (GEMMA, [USER, USER], "Conversation roles must alternate"),
        (CHATML.replace("'content'", "'content'].x.y['z'"), [USER], "has no attribute 'x'"),
        (CHATML + "{{ 1 // 0 }}", [USER], "refuses these messages .user.: "),
        ("{% for m in messages %}{{ m.content + 1 }}{% endfor %}", [USER], "refuses these"),
        ("{{ messages[-1]['content'] | upper }}", [USER], r"changes message 0 \(user\)"),
        ("{{ messages[-1]['content'] * 2 }}", [USER], r"repeats message 0 \(user\)"),
        ("{{ messages | length }}", [USER], r"leaves out message 0 .user.*mask other messages"),
        (QWEN, {"messages": [USER, THOUGHT, USER], "mask": 1}, r"changes message 1 \(assistant\)"),
    ],
)  # fmt: skip
def test_chats_that_cannot_be_read_are_refused_in_words(
    template: str | None, value: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read(pipe_of(template), value)


def test_a_template_that_refuses_a_masked_message_says_so() -> None:
    strict = "{% if not messages[-1].content %}{{ raise_exception('Empty!') }}{% endif %}" + CHATML
    with pytest.raises(
        InputError, match=r"with features masked, the chat template.*Empty!.*'mask'"
    ):
        InteractionExplainer(pipe_of(strict)).value_function(
            [AGAIN], masking="delete", max_new_tokens=2
        )
    check(pipe_of(strict), [AGAIN], masking="mask")


def test_ranges_of_characters_count_those_of_the_message() -> None:
    found, _ = check(pipe_of(LLAMA_3), [USER], features=[(2, 6), (7, 13)], masking="delete")
    assert found.features.labels == ("Name", "a film")
    with pytest.raises(InputError, match="in the space around the message's text"):
        read(pipe_of(LLAMA_3), [USER], features=[(0, 6)])
    with pytest.raises(InputError, match="count those of one message's text, and 2 are masked"):
        read(pipe_of(LLAMA_3), {"messages": [SYSTEM, USER], "mask": "all"}, features=[(0, 2)])


DOCUMENTS = {"Doc A": "The plot is dull. I was bored.", "Doc B": "It is great fun."}


@pytest.mark.parametrize("masking", ["mask", "delete"])
@pytest.mark.parametrize("features", ["words", "sentences", "documents"])
@pytest.mark.parametrize("template", [None, *TEMPLATES])
def test_prompts_in_parts(template: str | None, features: str, masking: str) -> None:
    prompt = context_prompt(
        DOCUMENTS, "Was it?", system=None if template == "Gemma" else "Be kind."
    )
    pipe = pipe_of(template and TEMPLATES[template])
    found, masked = check(pipe, prompt, features=features, masking=masking)
    assert found.chat == (template is not None)
    assert [part.name for part in found.parts if "Doc" in part.name] == ["Doc A", "Doc B"]
    if features == "documents":
        assert found.features.labels == ("Doc A", "Doc B")
    emptied = found.masked_text(np.zeros(len(found.features), bool), masked)
    assert "Doc A:" in emptied
    assert "Was it?" in emptied
    assert "bored" not in emptied
    # A context at the very beginning, which a template may strip the space after.
    check(pipe, context_prompt("  It was.  ", "Dull?"), features=features, masking=masking)


@pytest.mark.parametrize("masking", ["mask", "delete"])
@pytest.mark.parametrize("settings", [
    {}, {"prefix": "Once upon a time. "}, {"prefix": "  "}, {"add_special_tokens": False},
    {"prefix": "Once", "add_special_tokens": True},
    {"tokenizer_encode_kwargs": {"add_special_tokens": False}},
    {"tokenizer_encode_kwargs": {"add_special_tokens": True}, "add_special_tokens": False},
])  # fmt: skip
def test_plain_prompts_with_what_is_set_on_the_pipeline(settings: dict, masking: str) -> None:
    pipe = pipe_of(LLAMA_3, **settings)
    prefix, text = settings.get("prefix", ""), "It could have been great."
    found, masked = check(pipe, text, masking=masking)
    assert found.text == prefix + text
    assert found.pipeline_input(np.ones(5, bool), masked) == text
    assert found.features.labels == ("It", "could", "have", "been", "great.")
    first = found.pipeline_input(np.arange(5) > 0, masked)
    assert first == (
        "could have been great." if masking == "delete" else "_ could have been great."
    )
    parts = (PromptPart("Say: ", "instruction"), PromptPart(text, "text", masked=True))
    check(pipe, Prompt(parts, system="Hi.", chat=False), masking=masking)
    bare, _ = check(pipe, Prompt(parts, chat=False, special_tokens=False), masking=masking)
    assert bare.text == "Say: " + text
    assert bare.settings["add_special_tokens"] is False
    alone, _ = check(pipe, Prompt(parts, chat=False, prefix=False), masking=masking)
    assert alone.text == "Say: " + text
    assert alone.settings == found.settings
    nothing = by_pipeline(pipe, found.pipeline_input(np.zeros(5, bool), masked))
    if not nothing:  # no token at all, which no model takes
        return
    explainer = InteractionExplainer(
        pipe, masking=masking, mask_token=None if masking == "delete" else "_", target=" fun",
        progress=False,
    )  # fmt: skip
    explanation = explainer(text)
    queries = explanation.record.queries
    again = explainer.ask(explanation, queries.masks)
    np.testing.assert_allclose(again, queries.values, rtol=1e-4)


def test_blocks_are_checked() -> None:
    part = (PromptPart("It is dull", "a", masked=True),)
    pipe = pipe_of(None)
    with pytest.raises(InputError, match="blocks must be ordered, disjoint and inside"):
        read(pipe, Prompt(part, blocks=((0, 3), (2, 10))))
    with pytest.raises(InputError, match="'dull' lies in none of the prompt's blocks"):
        read(pipe, Prompt(part, blocks=((0, 5),)))

    with pytest.raises(InputError, match="blocks have no meaning with a chat template"):
        read(pipe_of(CHATML), Prompt(part, blocks=((0, 10),)))


def test_places_are_found_whatever_the_template_tests() -> None:
    def write(texts: Any) -> str:
        (text,) = texts
        asked = text.startswith("If") and text.endswith("?") and "very dull" in text
        return f"<{text}> {'asks' if asked else 'says'} <If it is very dull?>"

    text, starts = located(write, ["If it is very dull?"], ["it"], "stop")
    assert (text, starts) == ("<If it is very dull?> asks <If it is very dull?>", (1,))
    with pytest.raises(InputError, match=r"leaves out it, so its words.*: stop"):
        located(lambda texts: "nothing", ["If"], ["it"], "stop")
    with pytest.raises(InputError, match="writes another text around it"):
        located(lambda texts: f"{texts[0]} {len(texts[0])}", ["If"], ["it"], "stop")


@pytest.mark.parametrize("question", ["user", "a", "  What is dull?\n", "image"])
@pytest.mark.parametrize("trim", [True, False])
def test_the_place_of_a_question_about_an_image(question: str, trim: bool) -> None:
    pipe = vision_language()
    pipe.processor.chat_template = (
        "{% for m in messages %}{{ m.role }}: {% for p in m.content %}{% if p.type == 'image' %}"
        f"<image>{{% else %}}{{{{ p.text{' | trim' if trim else ''} }}}}{{% endif %}}{{% endfor %}}"
        "{% endfor %} a user: "
    )
    function = InteractionExplainer(pipe, masking="delete", target=" fun").value_function(
        {"image": picture(), "text": question, "mask_text": True}, patches=(1, 1)
    )
    spans = function.features.spans
    assert [function.text[a:b] for a, b in spans] == question.split()
    assert spans[0][0] == function.text.rindex("<image>") + len("<image>") + (
        0 if trim else len(question) - len(question.lstrip())
    )


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: hotpotqa_prompt({"Rex": "a dog"}, "Who?"), r"pairs \(title, content\).*'Rex'"),
        (lambda: hotpotqa_prompt("Rex is a dog.", "Who?"), r"pairs \(title, content\)"),
        (lambda: hotpotqa_prompt(None, "Who?"), r"pairs \(title, content\).*one is None"),
        (lambda: hotpotqa_prompt([5], "Who?"), r"pairs \(title, content\).*one is 5"),
        (
            lambda: hotpotqa_prompt([("Rex", None)], "Who?"),
            "'Rex' of a prompt must be a text.*None",
        ),
        (lambda: hotpotqa_prompt([("Rex", "a dog")], None), "question must be a text, got None"),
        (lambda: drop_prompt(5, "Who?"), "'context' of a prompt must be a text, got 5"),
        (lambda: context_prompt("Rex is a dog.", None), "question must be a text, got None"),
        (lambda: context_prompt([1, 2], "Who?"), "'document 1' of a prompt must be a text, got 1"),
        (lambda: context_prompt(5, "Who?"), "context must be a text, a list of texts"),
        (lambda: PromptPart("Rex is a dog.", None), "name of a prompt's part must be a text"),
    ],
)
def test_what_is_not_a_text_is_refused_where_it_is_given(make: Any, says: str) -> None:
    """Not after a model was asked, nor as the word "None" in a prompt."""
    with pytest.raises(InputError, match=says):
        make()
