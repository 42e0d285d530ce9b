"""A real engine that serves one model under the name of another: what a provider that substitutes a model runs."""

import argparse
import asyncio
from dataclasses import replace

from node.cli.engine import _serve, spec_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--as-name", required=True)
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    asyncio.run(_serve(replace(spec_of(args.model, args.port, 8), served_name=args.as_name)))


if __name__ == "__main__":
    main()
