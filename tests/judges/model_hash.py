"""The hashes of docs/trust.md, computed for a Llama folder from its files alone."""

import hashlib
import json
import re
import struct
from pathlib import Path
from typing import Any

_ROLES = {
    "model.embed_tokens.weight": "embed.weight",
    "model.norm.weight": "norm.weight",
    "lm_head.weight": "head.weight",
    "input_layernorm.weight": "attn.norm.weight",
    "post_attention_layernorm.weight": "ffn.norm.weight",
    "self_attn.q_proj.weight": "attn.q.weight",
    "self_attn.k_proj.weight": "attn.k.weight",
    "self_attn.v_proj.weight": "attn.v.weight",
    "self_attn.o_proj.weight": "attn.o.weight",
    "mlp.gate_proj.weight": "ffn.gate.weight",
    "mlp.up_proj.weight": "ffn.up.weight",
    "mlp.down_proj.weight": "ffn.down.weight",
}
_FIELDS = {
    "head_dim": "head_dim",
    "hidden_act": "activation",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "max_position_embeddings": "max_position_embeddings",
    "num_attention_heads": "num_heads",
    "num_hidden_layers": "num_layers",
    "num_key_value_heads": "num_kv_heads",
    "rms_norm_eps": "norm_eps",
    "rope_theta": "rope_theta",
    "tie_word_embeddings": "tie_embeddings",
    "vocab_size": "vocab_size",
}


def model_hash(folder: Path) -> str:
    """Return the hash of a model with one file of weights and a byte-level BPE."""
    parts = {
        "config": _sha256(_config(folder)),
        "tensors": _sha256(tensor_hashes(folder / "model.safetensors")),
        "tokenizer": _sha256(_tokenizer(folder)),
    }
    return "aprhub-model-1:" + _sha256(parts)


def tensor_hashes(path: Path) -> dict[str, str]:
    """Return the hash of each tensor by its canonical name."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    found = {}
    for stored, entry in json.loads(data[8 : 8 + length]).items():
        if stored == "__metadata__":
            continue
        layer = re.fullmatch(r"model\.(layers\.\d+\.)(.*)", stored)
        name = layer[1] + _ROLES[layer[2]] if layer else _ROLES[stored]
        described = _text([name, entry["shape"], entry["dtype"].lower()]) + b"\n"
        start, stop = (8 + length + offset for offset in entry["data_offsets"])
        found[name] = hashlib.sha256(described + data[start:stop]).hexdigest()
    return found


def _config(folder: Path) -> dict[str, Any]:
    stored = json.loads((folder / "config.json").read_text())
    named = {ours: _number(stored[theirs]) for theirs, ours in _FIELDS.items()}
    scaling = dict(stored["rope_scaling"])
    kind = {"kind": scaling.pop("rope_type")}
    rope = kind | {name: _number(value) for name, value in scaling.items()}
    return {**named, "family": "llama", "rope_scaling": rope}


def _number(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return int(value) if value.is_integer() else "f32:" + struct.pack(">f", value).hex()


def _tokenizer(folder: Path) -> dict[str, Any]:
    program = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    config = json.loads((folder / "config.json").read_text())
    ids = dict(program["model"]["vocab"])
    ids |= {each["content"]: each["id"] for each in program["added_tokens"]}
    return {
        "merges": [" ".join(pair) for pair in program["model"]["merges"]],
        "model": "gpt2",
        "special": {"bos": config["bos_token_id"], "eos": config["eos_token_id"]},
        "tokens": sorted(ids, key=lambda token: ids[token]),
    }


def _text(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _sha256(value: Any) -> str:
    return hashlib.sha256(_text(value)).hexdigest()
