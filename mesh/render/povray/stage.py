"""Be a stage: stand beside POV-Ray for one scene, and run it once for each picture that the node asks for.

Started as `python -I stage.py -- FD`; FD is one end of a socket pair. Nothing of `mesh` is imported, so that it starts
fast; the siblings are importable under a package name of their own.
"""

import importlib
import os
import sys
import types

PACKAGE = "meshnode_povray"


def main() -> None:
    """Make the siblings importable and serve."""
    package = types.ModuleType(PACKAGE)
    package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    sys.modules[PACKAGE] = package
    importlib.import_module(f"{PACKAGE}.serving").serve(int(sys.argv[sys.argv.index("--") + 1]))


if __name__ == "__main__":
    main()
