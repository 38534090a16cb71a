"""Writes GGUF models of a quarter megabyte for tests: real files for the real engine, without a download.

`write_random` makes a Llama with seeded random weights: its text is noise, its shapes and tokens are real.
`write_scripted` makes a Llama whose weights are a table from each token to the next, so that it answers every
prompt with the given pieces: answers, tool calls and endless text become exact. `write_adapter` makes a LoRA
that lets such a model begin with another piece. Knows nothing about TinyLLM.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

DIM = 64
CONTEXT = 16_384
SPECIAL = ("<|end|>", "<|im_start|>", "<|im_end|>")
MAX_PIECES = DIM - 1
_HEADS = 2
_END = 257  # the id of <|end|>, after 256 bytes and one merge
_FIRST = 260  # the id of the first piece

Floats = npt.NDArray[np.float32]

CHATML = (
    "{%- if tools %}<|im_start|>system\nTools:\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}"
    'To call one write <tool_call>\n{"name": ..., "arguments": ...}\n</tool_call><|im_end|>\n{% endif %}'
    "{%- for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}"
    "{%- if m.tool_calls %}{% for c in m.tool_calls %}<tool_call>\n"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}\n</tool_call>'
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_random(path: Path, seed: int = 0) -> Path:
    """A model that says seeded noise."""
    rng = np.random.default_rng(seed)
    writer, tokens = _header(path, ())
    _weights(
        writer,
        embedding=rng.normal(0, 1, (tokens, DIM)).astype(np.float32),
        output=rng.normal(0, 0.3, (tokens, DIM)).astype(np.float32),
        rng=rng,
    )
    return path


def write_scripted(path: Path, pieces: Sequence[str], *, forever: bool = False) -> Path:
    """A model that answers every prompt with `pieces`, one token each, and then ends (or begins again).

    Pieces differ from each other and are at least two bytes long; they are not parts of a prompt's own words.
    """
    # Every token of a prompt is the same vector, dimension 0; piece i is dimension i + 1.
    writer, tokens = _header(path, pieces)
    embedding = np.zeros((tokens, DIM), np.float32)
    output = np.zeros((tokens, DIM), np.float32)
    embedding[:_FIRST, 0] = 1
    output[_FIRST, 0] = 1
    for i in range(len(pieces)):
        embedding[_FIRST + i, i + 1] = 1
        follower = _FIRST + i + 1 if i + 1 < len(pieces) else _FIRST if forever else _END
        output[follower, i + 1] = 1
    _weights(writer, embedding=embedding, output=output)
    return path


def write_adapter(path: Path, pieces: Sequence[str], first: int) -> Path:
    """A LoRA that makes the scripted model of the same pieces begin with `pieces[first]`."""
    down = np.zeros((1, DIM), np.float32)
    up = np.zeros((_FIRST + len(pieces), 1), np.float32)
    down[0, 0], up[_FIRST + first, 0] = 10, 1
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 1.0)
    writer.add_tensor("output.weight.lora_a", down)
    writer.add_tensor("output.weight.lora_b", up)
    _finish(writer)
    return path


def _alphabet() -> list[str]:
    """GPT-2's printable stand-in for each of the 256 bytes."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = iter(range(256, 512))
    return [chr(b) if b in printable else chr(next(spare)) for b in range(256)]


def _header(path: Path, pieces: Sequence[str]) -> tuple[Any, int]:
    alphabet = _alphabet()
    # The engine wants at least one merge, hence "th".
    tokens = [*alphabet, "th", *SPECIAL, *("".join(alphabet[b] for b in p.encode()) for p in pieces)]
    if len(set(tokens)) != len(tokens) or len(pieces) > MAX_PIECES:
        raise ValueError(f"at most {MAX_PIECES} pieces, each different and longer than one byte")
    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(DIM)
    writer.add_block_count(1)
    writer.add_feed_forward_length(DIM)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(DIM // _HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([*[normal] * _END, *[control] * len(SPECIAL), *[normal] * len(pieces)])
    writer.add_token_merges(["t h"])
    writer.add_eos_token_id(_END)
    writer.add_eot_token_id(_END + 2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHATML)
    return writer, len(tokens)


def _weights(
    writer: Any, *, embedding: Floats, output: Floats, rng: np.random.Generator | None = None
) -> None:
    """One block: silent without a generator, so that only embedding and output speak."""
    one = np.ones(DIM, np.float32)
    writer.add_tensor("token_embd.weight", embedding)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", one)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        square = rng.normal(0, 0.2, (DIM, DIM)) if rng is not None else np.zeros((DIM, DIM))
        writer.add_tensor(f"blk.0.{name}.weight", square.astype(np.float32))
    writer.add_tensor("output.weight", output)
    _finish(writer)


def _finish(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
