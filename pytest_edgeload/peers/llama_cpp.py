"""`python -m pytest_edgeload.peers.llama_cpp --model=m.gguf`: runs llama.cpp and prints its times as a line of JSON.

llama.cpp does not run our networks, so it is a program with metrics of its own. As in llama-bench, the tokens are
random numbers, so the model needs no tokenizer. Never imports torch.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pytest_edgeload.base.errors import Unsupported

try:
    from cyllama.llama import llama_cpp
except ModuleNotFoundError:
    raise Unsupported(
        "llama.cpp", "the package cyllama is not installed", "try pip install 'pytest-edgeload[llama-cpp]'"
    ) from None

LOADS = {"mmap": (True, False), "direct": (False, True), "plain": (False, False)}
"""The ways to load weights: whether llama.cpp maps the file, and whether it reads the file with O_DIRECT."""


def measure(model: Path, load: str, threads: int, prompt_tokens: int, tokens: int) -> dict[str, float | list[float]]:
    """Load `model` in the way `load`, process a prompt, then generate `tokens` tokens. Return the metrics by name.

    Raises OSError, ValueError or RuntimeError if llama.cpp cannot load or run the model.
    """
    begin = time.perf_counter()
    context = _open(model, load, threads, prompt_tokens + tokens)
    load_s = time.perf_counter() - begin
    draw, count = random.Random(0), context.model.get_vocab().n_vocab  # noqa: S311  # not secrets
    prompt = [draw.randrange(count) for _ in range(prompt_tokens)]
    prompt_s = _decode(context, prompt, 0)
    token_s = [_decode(context, [draw.randrange(count)], prompt_tokens + n) for n in range(tokens)]
    s_per_token = statistics.fmean(token_s)
    return {
        "model_load_s": load_s,
        "prompt_s": prompt_s,
        "time_to_first_token_s": load_s + prompt_s,
        "token_s": token_s,
        "s_per_token": s_per_token,
        "tokens_per_s": 1 / s_per_token,
    }


def _open(path: Path, load: str, threads: int, tokens: int) -> llama_cpp.LlamaContext:
    """Load the model of `path`, and make a context for a sequence of `tokens` tokens."""
    params = llama_cpp.LlamaModelParams()
    params.use_mmap, params.use_direct_io = LOADS[load]
    model = llama_cpp.LlamaModel(str(path), params, verbose=False)
    params = llama_cpp.LlamaContextParams()
    params.n_ctx = params.n_batch = tokens
    params.n_threads = params.n_threads_batch = threads
    return llama_cpp.LlamaContext(model, params, verbose=False)


def _decode(context: llama_cpp.LlamaContext, tokens: list[int], past: int) -> float:
    """Process `tokens`, which follow `past` others. Return the time, in seconds."""
    batch = llama_cpp.LlamaBatch(n_tokens=len(tokens), embd=0, n_seq_max=1)
    batch.set_batch(tokens, past, logits_all=False)  # only the last token's logits
    begin = time.perf_counter()
    context.decode(batch)
    context.synchronize()
    return time.perf_counter() - begin


def _count(text: str) -> int:
    """Return a positive number of the command line."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    command = argparse.ArgumentParser("python -m pytest_edgeload.peers.llama_cpp", description="Run llama.cpp once.")
    add = command.add_argument
    add("--model", type=Path, required=True, metavar="FILE", help="GGUF file")
    add("--load", choices=LOADS, default="mmap", help="how the weights are loaded (default: %(default)s)")
    add("--threads", type=_count, default=2, metavar="N", help="number of threads (default: %(default)s)")
    add("--prompt-tokens", type=_count, default=16, metavar="N", help="tokens of the prompt (default: %(default)s)")
    add(
        "--tokens",
        type=_count,
        default=32,
        metavar="N",
        help="tokens to generate after the first (default: %(default)s)",
    )
    return command


def main(args: Sequence[str] | None = None) -> int:
    """Run llama.cpp as the command line says. Return the exit status."""
    options = parser().parse_args(args)
    llama_cpp.disable_logging()
    try:
        metrics = measure(options.model, options.load, options.threads, options.prompt_tokens, options.tokens)
    except (OSError, ValueError, RuntimeError) as error:
        sys.exit(f"llama.cpp: {error}")
    print(json.dumps(metrics))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
