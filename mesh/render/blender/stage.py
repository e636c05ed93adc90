"""Be a stage: a renderer process that holds one scene open and renders the frames that its node asks for.

Started as `blender -b --factory-startup --disable-autoexec --python stage.py -- FD` or `python -I stage.py -- FD`; FD
is one end of a socket pair. Nothing of `mesh` is imported: this is another environment. The siblings are made
importable under a package name of their own, since one is called `inspect` and must not hide the standard library's.
"""

import importlib
import os
import sys
import types

PACKAGE = "meshnode_stage"


def main() -> None:
    """Make the siblings importable and serve."""
    package = types.ModuleType(PACKAGE)
    package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    sys.modules[PACKAGE] = package
    importlib.import_module(f"{PACKAGE}.serving").serve(int(sys.argv[sys.argv.index("--") + 1]))


if __name__ == "__main__":
    main()
