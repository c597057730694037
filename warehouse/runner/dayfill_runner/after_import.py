"""Something that is done as soon as a module has been imported, by whomever."""

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable
from typing import Any


def after_import(module: str, then: Callable[[], object]) -> None:
    """Call `then` once when `module`, which is not imported yet, has been; before whoever imports it goes on."""
    sys.meta_path.insert(0, _Finder(module, then))


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, module: str, then: Callable[[], object]) -> None:
        self._module = module
        self._then = then

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if fullname != self._module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_then(module: Any) -> None:
                execute(module)
                self._then()

            spec.loader.exec_module = execute_and_then  # type: ignore[method-assign]
        return spec
