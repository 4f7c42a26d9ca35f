"""Somebody else's checkpoint in small: a Hugging Face folder with random weights and this project's vocabulary."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import tokenizer_models

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SHAPE: dict[str, Any] = {
    "model_type": "llama", "vocab_size": 16_000, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048, "rms_norm_eps": 1e-6,
    "hidden_act": "silu", "rope_theta": 10_000.0, "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


def llama_tensors(shape: dict[str, Any], seed: int = 0) -> dict[str, Tensor]:
    """Weights of unit gain, so that no block drowns the others; a tied head would only repeat the last token."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    hidden, middle = shape["hidden_size"], shape["intermediate_size"]
    key_rows = hidden // shape["num_attention_heads"] * shape["num_key_value_heads"]

    def matrix(rows: int, columns: int) -> Tensor:
        return torch.randn(rows, columns, generator=draw) * columns**-0.5

    def norm() -> Tensor:
        return 1 + 0.1 * torch.randn(hidden, generator=draw)

    tensors = {
        "model.embed_tokens.weight": 0.5 * torch.randn(shape["vocab_size"], hidden, generator=draw),
        "model.norm.weight": norm(),
        "lm_head.weight": 0.4 * torch.randn(shape["vocab_size"], hidden, generator=draw),
    }
    for layer in range(shape["num_hidden_layers"]):
        tensors |= {
            f"model.layers.{layer}.{name}": tensor
            for name, tensor in {
                "input_layernorm.weight": norm(),
                "self_attn.q_proj.weight": matrix(hidden, hidden),
                "self_attn.k_proj.weight": matrix(key_rows, hidden),
                "self_attn.v_proj.weight": matrix(key_rows, hidden),
                "self_attn.o_proj.weight": matrix(hidden, hidden),
                "post_attention_layernorm.weight": norm(),
                "mlp.gate_proj.weight": matrix(middle, hidden),
                "mlp.up_proj.weight": matrix(middle, hidden),
                "mlp.down_proj.weight": matrix(hidden, middle),
            }.items()
        }
    return tensors


def write_chat_model(folder: Path, *, template: str | None = TEMPLATE, seed: int = 0) -> Path:
    """A folder that `Library.import_path` takes: a chat model of two layers that says nothing sensible."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(SHAPE))
    save_file(llama_tensors(SHAPE, seed), folder / "model.safetensors", metadata={"format": "pt"})
    shutil.copyfile(tokenizer_models.path() / "tokenizer.model", folder / "tokenizer.model")
    settings = {"bos_token": "<s>", "eos_token": "<|end|>", "add_bos_token": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "LICENSE").write_text("You may.\n")
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    return folder


def write_chat_gguf(path: Path, *, seed: int = 0) -> Path:
    """The same chat model as one GGUF file, vocabulary and template in it; rotary halves as Qwen has them."""
    import gguf
    from sentencepiece import sentencepiece_model_pb2 as proto

    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_context_length(SHAPE["max_position_embeddings"])
    writer.add_embedding_length(SHAPE["hidden_size"])
    writer.add_block_count(SHAPE["num_hidden_layers"])
    writer.add_feed_forward_length(SHAPE["intermediate_size"])
    writer.add_head_count(SHAPE["num_attention_heads"])
    writer.add_head_count_kv(SHAPE["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(SHAPE["rms_norm_eps"])
    writer.add_rope_freq_base(SHAPE["rope_theta"])
    vocabulary = proto.ModelProto()
    vocabulary.ParseFromString((tokenizer_models.path() / "tokenizer.model").read_bytes())
    writer.add_tokenizer_model("llama")
    writer.add_token_list([piece.piece for piece in vocabulary.pieces])
    writer.add_token_scores([piece.score for piece in vocabulary.pieces])
    writer.add_token_types([piece.type for piece in vocabulary.pieces])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(6)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, SHAPE["num_hidden_layers"])
    for name, tensor in llama_tensors(SHAPE, seed).items():
        stored = names.get_name(name, try_suffixes=(".weight",))
        assert stored is not None, name
        writer.add_tensor(stored, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
