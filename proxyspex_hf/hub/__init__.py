"""Explanations on the Hugging Face Hub: records as Parquet rows, pushed and pulled."""

from __future__ import annotations

from importlib.util import find_spec

from proxyspex_hf.errors import HubError

_missing = [name for name in ("huggingface_hub", "httpx2", "pyarrow") if find_spec(name) is None]
if _missing:
    raise HubError(
        f"the Hub needs {' and '.join(_missing)}, which is not installed: "
        "pip install 'proxyspex-hf[hub]'."
    )
