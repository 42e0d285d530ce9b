"""Engines as numbers: GPUs, models, and the step law fitted to public profiles (sources in docs/simulator.md).

step = weights / (efficiency * bandwidth) + per_sequence * B + kv_bytes / (.94 * bandwidth) * K; some are fitted.
"""

from dataclasses import dataclass, replace

from node.core.routing.load import EngineLimits
from node.core.routing.speed import Speed

WEIGHT_EFFICIENCY = 0.915
KV_EFFICIENCY = 0.94
TENSOR_PARALLEL_EFFICIENCY = 0.545
"""Share of the summed bandwidth four PCIe A100s reach together; calibrated so that S3's `single` lands at 238 s."""
PER_SEQUENCE_SECONDS = 0.06e-3
RESERVED_BYTES = 2.4e9
"""Activations, CUDA graphs and fragments: makes Qwen3-8B land at 32k / 186k / 391k KV tokens on 24 / 48 / 80 GB."""
MEMORY_SHARE = 0.9
GIB = 1024**3
CHUNK = 2048
MAX_SEQUENCES = 256
PREFILL_MODEL_BYTES = 16.38e9
"""The public prefill rates are for an 8B model in bf16; others scale with their weights."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """Memory bandwidth in bytes/s, memory in GiB, prompt tokens/s of an 8B model, and how many work together."""

    bandwidth: float
    memory_gib: float
    prefill_8b: float
    count: int = 1


@dataclass(frozen=True, slots=True)
class Model:
    """Weight bytes as served, KV bytes a token."""

    weight_bytes: float
    kv_bytes: float


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """An engine: its speed and its limits."""

    name: str
    model: str
    speed: Speed
    limits: EngineLimits


GPUS = {
    "RTX 3090": Gpu(936e9, 24, 3_800),
    "RTX A6000": Gpu(768e9, 48, 5_700),
    "RTX 4090": Gpu(1008e9, 24, 11_300),
    "RTX 6000 Ada": Gpu(960e9, 48, 11_300),
    "L40S": Gpu(864e9, 48, 10_500),
    "A100": Gpu(2039e9, 80, 14_100),
    "A100 40GB": Gpu(1555e9, 40, 14_100),
    "4xA100": Gpu(1555e9, 40, 14_100, count=4),
    "RTX PRO 6000": Gpu(1792e9, 96, 26_700),
    "H100": Gpu(3350e9, 80, 31_600),
}
MODELS = {
    "Qwen3-0.6B": Model(1.19e9, 114_688),
    "Qwen3-4B": Model(8.04e9, 147_456),
    "Qwen3-8B": Model(16.38e9, 147_456),
    "Qwen3-32B": Model(65.5e9, 262_144),
    "DeepSeek-R1-Distill-7B": Model(15.2e9, 57_344),
    "Llama-3.1-8B": Model(16.06e9, 131_072),
    "Mistral-7B": Model(14.5e9, 131_072),
}
FITTED = {
    ("RTX 4090", "Llama-3.1-8B"): (16.98e-3, 0.054e-3, 0.1385e-6),
    ("RTX PRO 6000", "Qwen3-8B"): (11.13e-3, 0.028e-3, 0.0872e-6),
    ("RTX PRO 6000", "Qwen3-32B"): (45.94e-3, 0.092e-3, 0.1742e-6),
}
"""(base, per sequence, per KV token) in seconds, fitted to measured steps; the 4090's to 1 %."""


def build_profile(gpu_name: str, model_name: str) -> EngineProfile:
    """The profile of one engine. Raises KeyError for an unknown GPU or model."""
    gpu, model = GPUS[gpu_name], MODELS[model_name]
    bandwidth = gpu.bandwidth * (1 if gpu.count == 1 else gpu.count * TENSOR_PARALLEL_EFFICIENCY)
    general = (
        model.weight_bytes / (WEIGHT_EFFICIENCY * bandwidth),
        PER_SEQUENCE_SECONDS,
        model.kv_bytes / (KV_EFFICIENCY * bandwidth),
    )
    base, per_sequence, per_kv = FITTED.get((gpu_name, model_name), general)
    scale = gpu.count * (1.0 if gpu.count == 1 else TENSOR_PARALLEL_EFFICIENCY)
    prefill = gpu.prefill_8b * scale * PREFILL_MODEL_BYTES / model.weight_bytes
    free = gpu.count * (MEMORY_SHARE * gpu.memory_gib * GIB - RESERVED_BYTES) - model.weight_bytes
    limits = EngineLimits(max(int(free / model.kv_bytes), CHUNK), MAX_SEQUENCES, CHUNK)
    return EngineProfile(f"{gpu_name} / {model_name}", model_name, Speed(base, per_sequence, per_kv, prefill), limits)


def parse_profile(text: str) -> EngineProfile:
    """Read `RTX 4090 / Llama-3.1-8B`, in any case. Raises ValueError with what exists."""
    gpus, models = ({name.lower(): name for name in table} for table in (GPUS, MODELS))
    gpu, _, model = (part.strip().lower() for part in text.partition("/"))
    if gpu not in gpus or model not in models:
        raise ValueError(f"unknown engine {text!r}: give GPU / MODEL from {', '.join(GPUS)} and {', '.join(MODELS)}")
    return build_profile(gpus[gpu], models[model])


def scale_profile(profile: EngineProfile, factor: float) -> EngineProfile:
    """The same engine, `factor` times slower: for the guess a node starts with, and for slow impostors."""
    speed = profile.speed
    slower = Speed(
        speed.base * factor, speed.per_sequence * factor, speed.per_kv_token * factor, speed.prefill_rate / factor
    )
    return replace(profile, speed=slower)
