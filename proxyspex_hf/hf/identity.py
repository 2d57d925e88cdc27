"""Which function is asked: all that decides a model's answers, as JSON data.

Files and revisions say what was loaded; this says what is there now, after training on, merging,
quantizing, switching an adapter, or setting something on the pipeline.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from proxyspex_hf.hf.served.model import ServedModel
from proxyspex_hf.hf.targets import function_name
from proxyspex_hf.hf.value_function import BoundInput
from proxyspex_hf.hf.weights import weights_fingerprint

#: Of a pipeline, what other entries of the key say, and what changes with every call.
_PIPELINE_SKIPPED = {
    *("model", "tokenizer", "feature_extractor", "image_processor", "video_processor", "processor"),
    *("device", "call_count", "modelcard", "_batch_size", "_num_workers", "binary_output"),
}
_PROCESSORS = ("feature_extractor", "image_processor", "video_processor", "processor")
#: Of a module, what other entries say, and what may change with a call.
_MODULE_SKIPPED = {
    *("training", "config", "generation_config", "hf_device_map", "name_or_path"),
    *("warnings_issued", "max_seq_len_cached"),
}
#: What is private and yet decides: peft's adapters.
_ADAPTERS = ("_active_adapter", "_disable_adapters")
#: Whose hooks come and go by themselves: transformers puts some on when outputs are captured.
_LIBRARIES = ("transformers.", "accelerate.")
_HOOKS = ("_forward_pre_hooks", "_forward_hooks")
_CONFIG_SKIPPED = {"_name_or_path", "name_or_path", "transformers_version", "_commit_hash"}
_DEEPEST = 6


def identity_of(pipe: Any, model: Any, task: str) -> dict[str, Any]:
    """What is asked, whatever the input: the pipeline ``pipe`` with ``model`` as they are now."""
    name, revision = model_name(pipe)
    found: dict[str, Any] = {"model": name, "revision": revision, "task": task}
    if isinstance(pipe, ServedModel):
        return found | {"served": pipe.identity, "tokenizer": _hash(pipe.tokenizer)}
    if model is None:
        return found
    tokenizer = getattr(pipe, "tokenizer", None)
    settings = {k: v for k, v in vars(pipe).items() if k not in _PIPELINE_SKIPPED}
    processors = {name: getattr(pipe, name, None) for name in _PROCESSORS}
    return found | {
        "class": [_name(type(model)), _name(type(pipe))],
        "config": _hash([_config(model), _generation(model)]),
        "modules": _hash([_module(name, module) for name, module in model.named_modules()]),
        "weights": weights_fingerprint(model),
        "pipeline": _hash(settings),
        "tokenizer": None if tokenizer is None else _hash(tokenizer),
        "processors": _hash(processors),
    }


def key_of(bound: BoundInput, identity: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides the values of ``bound``, as JSON data."""
    target = bound.target
    return {
        **identity,
        "input": bound.fingerprint(),
        "target": [target.label, target.index, target.kind],
    }


def as_text(data: Any) -> str:
    """Any data as one text, equal where the data are."""
    return json.dumps(_plain(data), sort_keys=True, ensure_ascii=True)


def model_name(pipe: Any) -> tuple[str, str | None]:
    """The model's name, without a path of the user's machine, and its revision on the Hub."""
    if isinstance(pipe, ServedModel):
        return _without_path(pipe.name), None
    config = getattr(getattr(pipe, "model", None), "config", None)
    if config is None:
        return function_name(pipe), None
    name = str(getattr(config, "_name_or_path", "") or type(pipe.model).__name__)
    if os.path.isdir(name):
        name = _without_path(os.path.abspath(name))
    revision = getattr(config, "_commit_hash", None)
    return name, None if revision is None else str(revision)


def _without_path(name: str) -> str:
    place = PurePath(name)
    return place.name if place.is_absolute() else name


def hooks_of(model: Any) -> tuple[Any, ...]:
    """The forward hooks that someone put on a model and its modules."""
    if not isinstance(model, torch.nn.Module):
        return ()
    return tuple(h for m in model.modules() for kind in _HOOKS for h in _own_hooks(m, kind))


def _own_hooks(module: torch.nn.Module, kind: str) -> list[Any]:
    hooks = vars(module)[kind].values()
    return [hook for hook in hooks if not _name(hook).startswith(_LIBRARIES)]


def _module(name: str, module: torch.nn.Module) -> list[Any]:
    """A module's class, settings and hooks; adapters keep there which of them are on."""
    own = {
        k: v
        for k, v in vars(module).items()
        if (k in _ADAPTERS or not k.startswith("_")) and k not in _MODULE_SKIPPED and _is_setting(v)
    }
    hooks = [[_name(hook) for hook in _own_hooks(module, kind)] for kind in _HOOKS]
    return [name, _name(type(module)), own, hooks]


def _is_setting(value: Any) -> bool:
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(_is_setting(entry) for entry in value)
    if isinstance(value, Mapping):
        return all(_is_setting(entry) for entry in value.values())
    simple = (bool, int, float, str, enum.Enum, torch.dtype, type(None))
    return isinstance(value, simple) or (callable(value) and not isinstance(value, torch.nn.Module))


def _config(model: Any) -> Any:
    config: Any = getattr(model, "config", None)
    if not hasattr(config, "to_dict"):
        return config
    said = {k: v for k, v in config.to_dict().items() if k not in _CONFIG_SKIPPED}
    return said | {"attention": getattr(config, "_attn_implementation", None)}


def _generation(model: Any) -> Any:
    config: Any = getattr(model, "generation_config", None)
    return config.to_dict() if hasattr(config, "to_dict") else None


def _hash(data: Any) -> str:
    return hashlib.sha256(as_text(data).encode()).hexdigest()


def _name(thing: Any) -> str:
    """What a class or a function is called, without its place in memory."""
    while isinstance(thing, functools.partial):
        thing = thing.func
    own = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{getattr(own, '__module__', '')}.{own.__qualname__}"


def _plain(value: Any, depth: int = 0) -> Any:
    """Anything as JSON data that is the same in another process."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if depth > _DEEPEST:
        return _name(type(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry, depth + 1) for entry in value]
    if isinstance(value, (set, frozenset)):
        return sorted(as_text(entry) for entry in value)
    return _plain_object(value, depth)


def _plain_object(value: Any, depth: int) -> Any:
    if isinstance(value, (torch.dtype, torch.device, os.PathLike, np.dtype, enum.Enum, bytes)):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.hasobject:  # its bytes are mere addresses
        return _plain(value.tolist(), depth + 1)
    if isinstance(value, np.ndarray):
        return [str(value.dtype), value.shape, hashlib.sha256(value.tobytes()).hexdigest()]
    if isinstance(value, torch.Tensor):
        return [str(value.dtype), list(value.shape), value.detach().cpu().tolist()]
    if isinstance(value, torch.nn.Module):
        return [_name(type(value)), weights_fingerprint(value)]
    if isinstance(value, PreTrainedTokenizerBase):
        return list(_tokenizer(value))
    if isinstance(value, functools.partial):
        parts = (value.args, value.keywords)
        return [_name(value), *(_plain(part, depth + 1) for part in parts)]
    if callable(value) and hasattr(value, "__qualname__"):
        return _name(value)
    if hasattr(value, "to_dict"):
        return [_name(type(value)), _plain(value.to_dict(), depth + 1)]
    return [_name(type(value)), _plain(getattr(value, "__dict__", None), depth + 1)]


def _tokenizer(tokenizer: Any) -> Iterator[Any]:
    """Class, rules and vocabulary of a tokenizer."""
    yield _name(type(tokenizer))
    yield {str(name): str(token) for name, token in tokenizer.special_tokens_map.items()}
    settings = ("padding_side", "truncation_side", "model_max_length", "chat_template")
    yield [str(getattr(tokenizer, name, None)) for name in settings]
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        yield sorted(tokenizer.get_vocab().items())
    else:
        rules = backend.to_str()
        # What stands before is how it was last asked to pad and to cut.
        yield hashlib.sha256(rules[max(0, rules.find('"added_tokens"')) :].encode()).hexdigest()
