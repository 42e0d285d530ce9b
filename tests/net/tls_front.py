"""A process that ends TLS before a node's port, as a provider's own TLS server does (`-m tests.net.tls_front`)."""

import argparse
import asyncio
import ssl
import subprocess
from pathlib import Path

from tests.net.proxy import Proxy


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A key, and a certificate for `localhost` that signs itself."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    return key, certificate


async def serve(port: int, target: int, files: tuple[Path, Path]) -> None:
    key, certificate = files
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    await Proxy(target).start(port, context)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--target", type=int, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--certificate", type=Path, required=True)
    args = parser.parse_args()
    asyncio.run(serve(args.port, args.target, (args.key, args.certificate)))


if __name__ == "__main__":
    main()
