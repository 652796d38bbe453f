"""`crawlingathome` by the name of the folder into which most workers cloned the client of old, for
scripts that say `import crawlingathome_client as cah`. It is the same module, not a second one."""

import importlib
import sys

_MODULES = ("core", "errors", "recycler", "temp", "version")

for _name in _MODULES:
    sys.modules[f"{__name__}.{_name}"] = importlib.import_module(f"crawlingathome.{_name}")
sys.modules[__name__] = importlib.import_module("crawlingathome")
