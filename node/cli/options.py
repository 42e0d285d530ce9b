"""Options of every chain command, written once: where the contracts are, who sends, whether to ask and how to print."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

from node.cli.common import (
    DEFAULT_DEPLOYMENT,
    DEFAULT_RPC,
    DeploymentOption,
    DevAccountOption,
    JsonOption,
    KeystoreOption,
    PasswordFdOption,
    PasswordFileOption,
    RpcOption,
    YesOption,
)
from node.cli.session import KeyOptions

READING: Mapping[str, tuple[Any, Any]] = {
    "deployment": (DeploymentOption, DEFAULT_DEPLOYMENT),
    "rpc": (RpcOption, DEFAULT_RPC),
    "json_out": (JsonOption, False),
}
"""Name -> (annotation, default): what a command needs that only reads."""
SENDING: Mapping[str, tuple[Any, Any]] = {
    **READING,
    "keystore": (KeystoreOption, None),
    "password_file": (PasswordFileOption, None),
    "password_fd": (PasswordFdOption, None),
    "dev_account": (DevAccountOption, None),
    "yes": (YesOption, False),
}


@dataclass(frozen=True, slots=True)
class Common:
    """The common options of one call."""

    deployment: Path
    rpc: tuple[str, ...]
    keys: KeyOptions
    is_agreed: bool
    json_out: bool


def with_options(names: Mapping[str, tuple[Any, Any]]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turn `command(common, own...)` into a command that typer sees with its own options and the common ones."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command).parameters.values())[1:]
        shared = [_option(name, annotation, default) for name, (annotation, default) in names.items()]

        @wraps(command)
        def run(**options: Any) -> None:  # noqa: ANN401 -- whatever typer parsed
            command(_common(options), **{parameter.name: options[parameter.name] for parameter in own})

        parameters = [*(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own), *shared]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def _option(name: str, annotation: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _common(options: Mapping[str, Any]) -> Common:
    return Common(
        deployment=options.get("deployment", DEFAULT_DEPLOYMENT),
        rpc=tuple(options["rpc"]),
        keys=KeyOptions(
            options.get("keystore"),
            options.get("password_file"),
            options.get("password_fd"),
            options.get("dev_account"),
        ),
        is_agreed=bool(options.get("yes")),
        json_out=options["json_out"],
    )
