"""Written by eventhubstest. Makes Python trust the CA of a local Event Hubs namespace, and the CAs of this machine.

Python's Event Hubs client, and requests, trust the file that package certifi names, whatever the environment says. This
module makes certifi name another file, as long as this folder is in PYTHONPATH.
"""

import importlib.machinery
import importlib.util
import os
import sys


def _run_hidden(folder):
    """Run the module of this name that this one hides, if there is one."""
    path = [os.path.abspath(p) for p in sys.path]
    rest = path[path.index(folder) + 1 :] if folder in path else []
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", rest)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def _trust(folder):
    try:
        import certifi
    except ImportError:
        return
    roots = os.path.join(os.path.dirname(folder), "roots.pem")

    def contents():
        with open(roots, encoding="ascii", errors="replace") as file:
            return file.read()

    certifi.where = lambda: roots
    certifi.contents = contents


_folder = os.path.dirname(os.path.abspath(__file__))
_run_hidden(_folder)
_trust(_folder)
