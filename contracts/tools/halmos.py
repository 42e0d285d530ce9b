"""halmos over the `check_` functions of `contracts/test/symbolic`: for every input, not for many."""

import sys

from isolated import run


def main() -> int:
    """Runs the proofs; exits as halmos does."""
    arguments = ["--root", ".", "--forge-build-out", "contracts/out-analysis/symbolic", "--match-contract", "Symbolic"]
    arguments += ["--function", "check_", "--solver-timeout-assertion", "60000", "--loop", "3"]
    return run("halmos", "symbolic", [*arguments, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
