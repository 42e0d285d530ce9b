"""The command line of `scripts/setup_engine.py`: install engine and models, or say where they are. No other logic."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from . import engine, models
from .cache import cache_root
from .errors import SetupError
from .progress import say

EXAMPLES = """examples:
  python3 scripts/setup_engine.py                              vLLM for the CPU and SmolLM2-135M
  python3 scripts/setup_engine.py --models base,noise0.1       and a second, slightly worse model
  python3 scripts/setup_engine.py --json                       paths as JSON on standard output
  python3 scripts/setup_engine.py --check --json               say what is there, install nothing
  python3 scripts/setup_engine.py --gpu --models ""            vLLM for an NVIDIA GPU, no model
exit codes: 0 all is there; 1 it could not be had, or --check found something missing; 2 wrong arguments
"""


def main(argv: list[str] | None = None) -> int:
    """See EXAMPLES."""
    args = _parser().parse_args(argv)
    wanted = [name for part in args.models.split(",") if (name := part.strip())]
    unknown = [name for name in wanted if name not in models.VARIANTS]
    if unknown:
        say(f"setup_engine: no model {unknown[0]!r}; there are {', '.join(models.VARIANTS)}")
        return 2
    started_at = time.monotonic()
    try:
        report = (
            inspect(cache_root(), wanted, gpu=args.gpu) if args.check else ensure(cache_root(), wanted, gpu=args.gpu)
        )
        if args.verify:
            _verify(wanted)
    except SetupError as exc:
        say(f"setup_engine: {exc}")
        return 1
    except KeyboardInterrupt:
        say("setup_engine: interrupted; run it again to go on")
        return 1
    if args.json:
        print(json.dumps(report, indent=1))
    else:
        _print(report, time.monotonic() - started_at)
    return 0 if report["ready"] else 1


def ensure(cache: Path, wanted: list[str], *, gpu: bool) -> dict[str, object]:
    """Install what is missing."""
    place = engine.ensure_gpu_engine(cache) if gpu else engine.ensure_cpu_engine(cache)
    # The conversion's own packages (numpy, gguf) are pinned in the CPU environment only.
    converter = engine.ensure_cpu_engine(cache).folder if gpu and wanted else place.folder
    for variant in wanted:
        models.ensure_model(cache, variant, converter)
    return inspect(cache, wanted, gpu=gpu)


def inspect(cache: Path, wanted: list[str], *, gpu: bool) -> dict[str, object]:
    """What is there now; changes nothing."""
    place = engine.gpu_place(cache) if gpu else engine.cpu_place(cache)
    found = {variant: models.model_place(cache, variant) for variant in wanted}
    present = engine.is_installed(place)
    return {
        "ready": present and all(models.is_model_present(model) for model in found.values()),
        "cache": str(cache),
        "engine": {
            "kind": place.kind, "version": place.version, "present": present,
            "folder": str(place.folder), "vllm": str(place.vllm), "python": str(place.python),
            "cache": str(place.cache),
        },
        "models": {variant: _describe(model) for variant, model in found.items()},
    }  # fmt: skip


def _describe(model: models.ModelPlace) -> dict[str, object]:
    return {
        "present": models.is_model_present(model), "path": str(model.folder), "served_name": model.served_name,
        "dtype": "float32", "weights_sha256": model.sha256,
        "tokenizer": str(model.folder / "tokenizer.json"), "tokenizer_keccak256": models.TOKENIZER_KECCAK,
        "template": str(model.folder / "chat_template.jinja"), "template_keccak256": models.TEMPLATE_KECCAK,
    }  # fmt: skip


def _verify(wanted: list[str]) -> None:
    for variant in wanted:
        models.verify_model(models.model_place(cache_root(), variant))


def _print(report: dict[str, object], seconds: float) -> None:
    place, found = report["engine"], report["models"]
    assert isinstance(place, dict)
    assert isinstance(found, dict)
    say(f"  engine {place['kind']} {place['version']}: {place['vllm'] if place['present'] else 'missing'}")
    for variant, model in found.items():
        say(f"  model {variant}: {model['path'] if model['present'] else 'missing'}")
    say(f"setup_engine: {'ready' if report['ready'] else 'not ready'} ({seconds:.1f} s)")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="setup_engine.py", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Install the inference engine and a small model into your cache folder, once for all checkouts.",
    )  # fmt: skip
    names = ", ".join(models.VARIANTS)
    parser.add_argument("--models", default="base", help=f"comma-separated, of: {names} (default: base; '' for none)")
    parser.add_argument("--gpu", action="store_true", help="vLLM for an NVIDIA GPU instead of the CPU build")
    parser.add_argument("--check", action="store_true", help="install nothing, report, exit 0 or 1")
    parser.add_argument("--verify", action="store_true", help="read the models' files again and compare their digests")
    parser.add_argument("--json", action="store_true", help="paths as one JSON object on standard output")
    return parser


if __name__ == "__main__":
    sys.exit(main())
