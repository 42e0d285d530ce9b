#!/usr/bin/env python3
"""Set up this checkout: `.venv`, the Python packages, the npm packages. Run it again at any time; see --help.

This file alone keeps to syntax that any Python 3 reads, so that an old one gets a sentence and not a traceback.
"""

import os
import sys

MINIMUM = (3, 11)
NEWER = ("python3.13", "python3.12", "python3.11", "python3.14")  # in the order of how well wheels cover them


def newer_python():  # noqa: ANN201 - plain on purpose, see above
    """The first interpreter on PATH that is new enough, or ''."""
    for name in NEWER:
        for folder in os.environ.get("PATH", "").split(os.pathsep):
            path = os.path.join(folder, name)  # noqa: PTH118 - pathlib would do, but the file stays plain on purpose
            if os.access(path, os.X_OK) and os.system("'%s' -c '' 2>/dev/null" % path) == 0:  # noqa: S605, UP031
                return path
    return ""


if __name__ == "__main__":
    if sys.version_info < MINIMUM:
        found = newer_python()
        if not found:
            sys.exit("bootstrap: Python 3.11 or newer is needed; this is %d.%d." % sys.version_info[:2])  # noqa: UP031
        os.execv(found, [found, __file__] + sys.argv[1:])  # noqa: RUF005, S606 - exec is wanted
    from setup.checkout import main

    sys.exit(main())
