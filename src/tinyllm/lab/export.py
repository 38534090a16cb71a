"""Lab models as files that others run: GGUF for llama.cpp, safetensors for `transformers`.

Knows the names and layouts of the Llama architecture on both sides and nothing about training. A plan other
than the plain one is written out slot by slot, repeated layers repeated: a file has no notion of a plan.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import gguf
from safetensors.torch import load_file, save_file
from torch import Tensor

from tinyllm.lab import lora
from tinyllm.lab.model import Config, Model
from tinyllm.lab.tokenizer import END, PAD, Tokenizer

Precision = Literal["f32", "f16", "q8_0"]

# ours, in llama.cpp, in transformers
_IN_BLOCK = (
    ("mixer_norm", "attn_norm", "input_layernorm"),
    ("mixer.q", "attn_q", "self_attn.q_proj"),
    ("mixer.k", "attn_k", "self_attn.k_proj"),
    ("mixer.v", "attn_v", "self_attn.v_proj"),
    ("mixer.o", "attn_output", "self_attn.o_proj"),
    ("ffn_norm", "ffn_norm", "post_attention_layernorm"),
    ("ffn.gate", "ffn_gate", "mlp.gate_proj"),
    ("ffn.up", "ffn_up", "mlp.up_proj"),
    ("ffn.down", "ffn_down", "mlp.down_proj"),
)
_OUTSIDE = (
    ("embed", "token_embd", "model.embed_tokens"),
    ("norm", "output_norm", "model.norm"),
    ("head", "output", "lm_head"),
)
_TYPES = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
_TOKEN_TYPES = {
    "normal": gguf.TokenType.NORMAL,
    "user_defined": gguf.TokenType.USER_DEFINED,
    "control": gguf.TokenType.CONTROL,
}


def write_gguf(
    model: Model,
    tokenizer: Tokenizer,
    path: Path,
    precision: Precision = "q8_0",
    name: str = "tinyllm",
    chat_template: str | None = None,
) -> None:
    """Write a GGUF that llama.cpp runs as the model runs here, with the same tokenisation.

    `precision` holds for matrices; gains stay f32, and under q8_0 a matrix whose rows are not whole blocks of
    32 numbers is written as f16. Raises ValueError if the tokenizer and the model disagree on the vocabulary,
    or the model carries an adapter (write that with `write_lora`).
    """
    config = model.config
    if tokenizer.size != config.vocab:
        raise ValueError(f"the tokenizer has {tokenizer.size} tokens, the model {config.vocab}")
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_file_type(_TYPES[precision][1])
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(len(model.plan))
    writer.add_feed_forward_length(config.hidden)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.groups)
    writer.add_layer_norm_rms_eps(config.eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.theta)
    writer.add_vocab_size(config.vocab)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(tokenizer.pre)
    writer.add_token_list([text for text, _ in tokenizer.pieces])
    writer.add_token_types([_TOKEN_TYPES[kind] for _, kind in tokenizer.pieces])
    writer.add_token_merges(tokenizer.merges)
    writer.add_eos_token_id(tokenizer.end)
    writer.add_pad_token_id(tokenizer.pad)
    writer.add_add_bos_token(False)
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    for _, theirs, _, weight in _named(model):
        _add(writer, f"{theirs}.weight", weight, precision)
    _finish(writer)


def write_lora(model: Model, path: Path, precision: Precision = "f16", name: str = "tinyllm-adapter") -> None:
    """Write the adapter that `model` carries as a GGUF adapter for the GGUF of its base.

    Scale 1 in llama.cpp is what was trained here. Raises ValueError if there is no adapter.
    """
    adapter = lora.adapter(model)
    scale = next(iter(adapter.values())).scale
    rank = next(iter(adapter.values())).a.shape[0]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_name(name)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, scale * rank)
    for slot, layer in enumerate(_order(model)):
        for ours, theirs, _ in _IN_BLOCK:
            module = adapter.get(f"blocks.{layer}.{ours}")
            if module is None:
                continue
            _add(writer, f"blk.{slot}.{theirs}.weight.lora_a", module.a, precision)
            _add(writer, f"blk.{slot}.{theirs}.weight.lora_b", module.b, precision)
    _finish(writer)


def write_safetensors(model: Model, tokenizer: Tokenizer, folder: Path) -> None:
    """Write `folder` as `transformers` keeps a LlamaForCausalLM: weights in float32, config, tokenizer."""
    config = model.config
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for ours, _, theirs, weight in _named(model):
        rows = _halves(weight, config.head_dim) if ours in ("mixer.q", "mixer.k") else weight
        tensors[f"{theirs}.weight"] = rows.detach().cpu().float().clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    layout = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab,
        "hidden_size": config.width,
        "num_hidden_layers": len(model.plan),
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.groups,
        "head_dim": config.head_dim,
        "intermediate_size": config.hidden,
        "max_position_embeddings": config.context,
        "rope_theta": config.theta,
        "rms_norm_eps": config.eps,
        "tie_word_embeddings": config.tied,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": None,
        "eos_token_id": tokenizer.end,
        "pad_token_id": tokenizer.pad,
        "torch_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(layout, indent=2) + "\n", encoding="utf-8")
    tokenizer.save(folder / "tokenizer.json")
    words = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END, "pad_token": PAD}
    (folder / "tokenizer_config.json").write_text(json.dumps(words, indent=2) + "\n", encoding="utf-8")


def read_safetensors(folder: Path) -> tuple[Model, Tokenizer]:
    """The plain model and the tokenizer that `write_safetensors` put into `folder`.

    Raises FileNotFoundError, or ValueError where the files do not describe one of our models.
    """
    layout = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    try:
        config = Config(
            vocab=layout["vocab_size"],
            width=layout["hidden_size"],
            layers=layout["num_hidden_layers"],
            heads=layout["num_attention_heads"],
            groups=layout["num_key_value_heads"],
            hidden=layout["intermediate_size"],
            context=layout["max_position_embeddings"],
            theta=layout["rope_theta"],
            eps=layout["rms_norm_eps"],
            tied=layout["tie_word_embeddings"],
        )
    except KeyError as error:
        raise ValueError(f"{folder}/config.json lacks {error}; is it a model written by the lab?") from error
    model = Model(config)
    tensors = load_file(folder / "model.safetensors")
    for ours, _, theirs, weight in _named(model):
        found = tensors.get(f"{theirs}.weight")
        if found is None or found.shape != weight.shape:
            raise ValueError(f"{folder}/model.safetensors: {theirs}.weight is missing or misshapen")
        weight.data.copy_(_neighbours(found, config.head_dim) if ours in ("mixer.q", "mixer.k") else found)
    return model, Tokenizer.load(folder / "tokenizer.json")


def _named(model: Model) -> Iterator[tuple[str, str, str, Tensor]]:
    """Every weight of the model, slot by slot, with its three names: ours, llama.cpp's, transformers'."""
    if any(isinstance(module, lora.LoraLinear) for module in model.modules()):
        raise ValueError("the model carries an adapter; detach it, or write the adapter with write_lora")
    plain = Config(model.config.vocab)
    for part in ("mixer", "ffn", "norm", "position", "causal", "window", "pauses"):
        ours = getattr(model.config, part)
        if ours != getattr(plain, part):
            raise ValueError(f"only a Llama can be exported, and this model has {part} {ours!r}")
    for ours, llamacpp, transformers in _OUTSIDE:
        if not (ours == "head" and model.config.tied):
            yield ours, llamacpp, transformers, model.get_parameter(f"{ours}.weight")
    for slot, layer in enumerate(_order(model)):
        block = model.blocks[layer]
        for ours, llamacpp, transformers in _IN_BLOCK:
            weight = block.get_parameter(f"{ours}.weight")
            yield ours, f"blk.{slot}.{llamacpp}", f"model.layers.{slot}.{transformers}", weight


def _order(model: Model) -> tuple[int, ...]:
    """The layers slot by slot."""
    if model.plan.options:
        raise ValueError(f"a file cannot leave it open which layers run, as plan '{model.plan}' does")
    return model.plan.order


def _halves(weight: Tensor, dim: int) -> Tensor:
    """Query or key rows (H * D, in) reordered for `transformers`, whose RoPE pairs i with i + D/2."""
    return weight.unflatten(0, (-1, dim // 2, 2)).transpose(1, 2).reshape(weight.shape)


def _neighbours(weight: Tensor, dim: int) -> Tensor:
    """What `_halves` reordered, put back: rows in pairs of neighbours, as ours."""
    return weight.unflatten(0, (-1, 2, dim // 2)).transpose(1, 2).reshape(weight.shape)


def _add(writer: gguf.GGUFWriter, name: str, weight: Tensor, precision: Precision) -> None:
    kind = _TYPES[precision][0] if weight.ndim == 2 else gguf.GGMLQuantizationType.F32
    if kind == gguf.GGMLQuantizationType.Q8_0 and weight.shape[-1] % 32:
        kind = gguf.GGMLQuantizationType.F16
    array = weight.detach().cpu().float().contiguous().numpy()
    writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
