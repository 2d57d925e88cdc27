"""What the server of ``children.py`` has imported before it forks."""

import datasets  # noqa: F401
import tiny_models  # noqa: F401
import transformers.pipelines  # noqa: F401

import proxyspex_hf.cli.main
import proxyspex_hf.explainer
import proxyspex_hf.hf.tasks.table  # noqa: F401
