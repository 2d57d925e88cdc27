"""Inference servers on loopback, for tests: real HTTP, a real (tiny) model, and faults to order.

    with InferenceServer(generator(), "vllm") as server:
        ServedModel(server.url, tokenizer=...)
        server.fail("POST", "completions", status=429, headers={"Retry-After": "1"})
        server.twist = without_log_probabilities       # what it answers from now on
        server.kill(); server.revive()                 # on the same port

It speaks as vLLM, SGLang, llama-cpp-python, vLLM's /classify, an Inference Endpoint, and as
`transformers serve`, which ignores what it does not know.
"""

from inference_server.server import InferenceServer

__all__ = ["InferenceServer"]
