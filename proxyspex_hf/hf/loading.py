"""Loading a model, quantized if wanted, and saying what was really loaded."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.auto.tokenization_auto import get_tokenizer_config

from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.failures import first_line

#: Weights that bitsandbytes quantizes together.
_BLOCK = 64
_QUANTIZATIONS = ("8bit", "4bit")
#: Small layers that decide the answer: kept as they are, beside those that a model's own class
#: says it ends in.
_HEADS = [
    "lm_head",
    "embed_out",
    "classifier",
    "pre_classifier",
    "score",
    "classification_head",
    "visual_projection",
    "text_projection",
]
#: Code of a repository is never run, and nobody is asked at a terminal whether it may be.
_NO_CODE = {"trust_remote_code": False}
#: Endings of files that can run code as they are read.
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
#: What a model's class name ends with, and its pipeline.
_TASKS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForMaskedLM": "fill-mask",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForImageClassification": "image-classification",
    "CLIPModel": "zero-shot-image-classification",
    "SiglipModel": "zero-shot-image-classification",
    "Siglip2Model": "zero-shot-image-classification",
    "ForConditionalGeneration": "image-text-to-text",
    "ForAudioClassification": "audio-classification",
    "Model": "feature-extraction",
}


def quieten() -> None:
    """Let transformers write nothing of its own to a program's terminal but errors."""
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def load_pipeline(
    model: str | Path,
    *,
    task: str | None = None,
    quantization: str | None = None,
    device_map: Any = None,
    device: Any = None,
    dtype: Any = None,
    revision: str | None = None,
) -> Any:
    """A transformers pipeline, as :func:`transformers.pipeline` makes it.

    Args:
        model: Hub id or directory.
        task: the pipeline's task; default what the model's class says.
        quantization: ``"8bit"`` (int8) or ``"4bit"`` (nf4) by bitsandbytes. In 8 bits outliers are
            not kept apart (threshold 0), so that a value does not depend on its batch; heads
            stay unquantized.
        device_map: ``"auto"``, a device or a mapping: where the parts of the model go, by
            accelerate; default the pipeline's device.
        device: where the whole model goes, such as ``"cuda:0"``; default the first GPU, if any.
        dtype: of the weights, such as ``"bfloat16"``; default that of the file.
        revision: branch, tag or commit of a model on the Hub.

    Raises:
        InputError: the model cannot be loaded so, needs code of its own, has no weights but
            pickled ones, or did not come out quantized.
    """
    if quantization is not None and quantization not in _QUANTIZATIONS:
        raise InputError(f"quantization must be '8bit', '4bit' or None, got {quantization!r}.")
    _need("bitsandbytes", quantization is not None, "quantization")
    if device is None and quantization is None and _is_device(device_map):
        # Transformers forgets a map of one device, and moves the model to the first GPU.
        device, device_map = device_map, None
    _need("accelerate", quantization is not None or device_map is not None, "device_map")
    settings: dict[str, Any] = {} if dtype is None else {"dtype": dtype}
    # Others than safetensors are pickles.
    weights: dict[str, Any] = {"use_safetensors": True}
    if quantization is not None:
        kept = [*_HEADS, *_output_layers(str(model), revision)]
        weights["quantization_config"] = _config(quantization, kept)
        device_map = "auto" if device_map is None else device_map
    if device_map is not None:
        settings["device_map"] = device_map
    if device is not None:
        settings["device"] = device
    try:
        task = task or _task(str(model), revision)
        settings |= {"model_kwargs": weights, **_NO_CODE}
        pipe = transformers.pipeline(task, model=str(model), revision=revision, **settings)  # type: ignore[call-overload]
    except InputError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, AssertionError) as error:
        _say_if_unsafe(str(model), error)
        raise InputError(
            f"cannot load {str(model)!r} for {task or 'its task'}: {first_line(error)}"
        ) from error
    _check_tokenizer(pipe, str(model), revision)
    found = quantization_of(pipe.model)
    if quantization is not None and found is None:
        raise InputError(
            f"{str(model)!r} was to be loaded in {quantization}, but no layer of it came out "
            "quantized: it has no linear layers that bitsandbytes can replace. Leave quantization "
            "out."
        )
    _check_blocks(pipe.model, str(model))
    return pipe


def _is_device(device_map: Any) -> bool:
    """Whether it names one device, not a way of spreading the model."""
    if isinstance(device_map, (torch.device, int)):
        return True
    if not isinstance(device_map, str):
        return False
    try:
        return bool(torch.device(device_map))
    except RuntimeError:
        return False


def load_tokenizer(name: str | Path) -> Any:
    """A tokenizer alone, of a model that runs elsewhere.

    Args:
        name: Hub id or directory.

    Raises:
        InputError: there is none, or it is code of its own.
    """
    try:
        return transformers.AutoTokenizer.from_pretrained(str(name), **_NO_CODE)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        _say_if_unsafe(str(name), error)
        first = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(
            f"cannot load the tokenizer {str(name)!r:.200}: {first} Pass tokenizer=..., a Hub id, "
            "a directory or a tokenizer."
        ) from error


@dataclass(frozen=True)
class KnownClasses:
    """What a classifier's config says of its scores.

    Attributes:
        labels: the classes, in the order of the scores; None where it names none.
        problem: what transformers calls ``problem_type``; None where it is not stated.
    """

    labels: tuple[str, ...] | None
    problem: str | None

    @classmethod
    def of(cls, config: Any) -> KnownClasses:
        """From a config of transformers."""
        names = {int(i): str(label) for i, label in (config.id2label or {}).items()}
        problem = getattr(config, "problem_type", None)
        return cls(tuple(names[i] for i in sorted(names)) or None, problem)


def known_classes(name: str) -> KnownClasses | None:
    """The classes of a model by its config; None where no config is at hand."""
    try:
        return KnownClasses.of(transformers.AutoConfig.from_pretrained(name, **_NO_CODE))
    except (OSError, ValueError, KeyError, RuntimeError, ImportError):
        return None


def _say_if_unsafe(model: str, error: Exception) -> None:
    """Say what a model would run here, where that is why it was not loaded.

    Raises:
        InputError: it needs code of its own, or unpickling.
    """
    text = str(error)
    if "trust_remote_code" in text:
        raise _needs_code(model) from error
    place = Path(model)
    pickled = place.is_dir() and any(file for kind in _PICKLED for file in place.glob(kind))
    if "safetensors" in text and (pickled or "cannot be loaded with `safetensors`" in text):
        raise InputError(
            f"{model!r} has no weights in the safetensors format; pickled ones (such as "
            "pytorch_model.bin) can run code when they are read, and this package never does. "
            "Choose a model with model.safetensors, or convert it: load it once with transformers "
            "where you trust it, and save_pretrained writes that file."
        ) from error


def _needs_code(model: str) -> InputError:
    return InputError(
        f"{model!r} needs Python code of its own, which came with it and would run on this "
        "machine: this package never runs such code. Choose a model of a class that transformers "
        "has, or load it yourself and give the pipeline to InteractionExplainer."
    )


def _check_tokenizer(pipe: Any, model: str, revision: str | None) -> None:
    """Refuse a model whose tokenizer is code of its own: transformers took another one instead."""
    said = getattr(getattr(pipe, "tokenizer", None), "init_kwargs", {})
    said.pop("use_safetensors", None)  # what was for the weights, pipeline() tells it, too
    if "AutoTokenizer" not in (said.get("auto_map") or {}):
        return
    named = get_tokenizer_config(model, revision=revision).get("tokenizer_class")  # reads JSON
    if not hasattr(transformers, str(named)):
        raise _needs_code(model)


def _check_blocks(model: Any, name: str) -> None:
    """Refuse what bitsandbytes fails on in 4 bits on a CPU: layers not made of whole blocks."""
    for module in model.modules():
        weight = getattr(module, "weight", None)
        if weight is None or type(weight).__name__ != "Params4bit":
            continue
        if weight.device.type != "cpu":
            continue
        if module.in_features % _BLOCK:
            raise InputError(
                f"{name!r} cannot be used in 4 bits here: a layer of it takes "
                f"{module.in_features} features, and 4-bit layers on a CPU need a multiple of "
                f"{_BLOCK}. Use quantization='8bit', or a GPU."
            )


def quantization_of(model: Any) -> str | None:
    """How the weights of linear layers are really stored: int8, nf4, fp4 …, None if plainly."""
    if not isinstance(model, torch.nn.Module):
        return None
    found: dict[str, int] = {}
    for parameter in model.parameters():
        kind = type(parameter).__name__
        if kind == "Int8Params":
            found["int8"] = found.get("int8", 0) + 1
        elif kind == "Params4bit":
            name = str(getattr(parameter, "quant_type", "4bit"))
            found[name] = found.get(name, 0) + 1
    if not found:
        config = getattr(getattr(model, "config", None), "quantization_config", None)
        method = getattr(config, "quant_method", None)
        return None if method is None or "bitsandbytes" in str(method) else str(method)
    return ", ".join(f"{name} ({count} layers)" for name, count in sorted(found.items()))


def device_map_of(model: Any) -> dict[str, str]:
    """Device of each part of a model that accelerate has spread over several, else empty."""
    spread = getattr(model, "hf_device_map", None) or {}
    devices = {str(name): str(device) for name, device in spread.items()}
    return devices if len(set(devices.values())) > 1 else {}


def model_bytes(model: Any) -> int | None:
    """Memory of the weights and buffers; None where it is not a torch model."""
    if not isinstance(model, torch.nn.Module):
        return None
    tensors = [*model.parameters(), *model.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _output_layers(model: str, revision: str | None) -> list[str]:
    """The layers that a model ends in, or that share their weights with its embeddings, by name.

    A list of our own replaces the one that transformers would find by itself.
    """
    try:
        config = transformers.AutoConfig.from_pretrained(model, revision=revision, **_NO_CODE)
        architecture = getattr(transformers, (config.architectures or [""])[0], None)
        if architecture is None:
            return []
        with torch.device("meta"):
            empty = architecture._from_config(config)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, NotImplementedError):
        return []  # what cannot be read is said when it is loaded
    weights = set()
    for find in (empty.get_output_embeddings, empty.get_input_embeddings):
        with suppress(NotImplementedError, AttributeError):  # of two towers, or of none
            weights.add(id(find().weight))
    *_, last = (name.rsplit(".", 1)[0] for name, _ in empty.named_parameters())
    tied = {
        name
        for name, module in empty.named_modules()
        if id(getattr(module, "weight", None)) in weights
    }
    return sorted({*tied, last})


def _config(quantization: str, kept: list[str]) -> Any:
    # It tells at every call that it casts its inputs.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    if quantization == "8bit":
        return transformers.BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_8bit=True, llm_int8_threshold=0.0, llm_int8_skip_modules=kept
        )
    return transformers.BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True, bnb_4bit_quant_type="nf4", llm_int8_skip_modules=kept
    )


def _task(model: str, revision: str | None) -> str:
    config = transformers.AutoConfig.from_pretrained(model, revision=revision, **_NO_CODE)
    names = config.architectures or [""]
    for ending, task in _TASKS.items():
        if names[0].endswith(ending):
            return task
    raise InputError(
        f"the task of {model!r} cannot be told from its class {names[0]!r}: pass task=..., one of "
        "those in proxyspex_hf.hf.tasks."
    )


def _need(package: str, wanted: bool, argument: str) -> None:
    if wanted and find_spec(package) is None:
        raise InputError(f"{argument} needs {package}: pip install 'proxyspex-hf[large]'.")
