"""`import torch` for a process that only computes replies, in half of the time.

PyTorch's own first import also brings what exports models, describes operators to its compiler, quantizes and so on.
While a lean import runs, those parts are stand-ins, which nothing looks into; then the stand-ins are gone, and the
parts are what `torch._dynamo` is after any import: not imported yet. Whoever names one of them, or imports anything of
PyTorch that is not there, gets all of them first, in PyTorch's order. So all that such a process lacks is operators on
tensors of the device `meta`, beyond making them, which refuse; whoever wants those calls `complete` first.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import re
import sys
import threading
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from engine import ahead

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTED = ("2.13.0",)
"""Versions of PyTorch whose first import is known, each as it is built for Linux and processors alone."""
SWITCH = "LOCAL_LLM_LEAN"
LEFT_OUT: dict[str, tuple[str, ...]] = {
    "torch.distributions": (),
    "torch.ao": (),
    "torch.nn.intrinsic": (),
    "torch.nn.qat": (),
    "torch.nn.quantizable": (),
    "torch.nn.quantized": (),
    "torch.quantization": (),
    "torch.masked": (),
    "torch.export": (),
    "torch.func": ("vmap",),
    "torch._higher_order_ops": ("cond", "while_loop"),
    "torch.distributed._meta_registrations": (),
    "torch._meta_registrations": (),
    "torch.compiler": (),
}
"""Modules in the order of `torch/__init__.py`, each with what that takes out of it."""
ALSO = ("torch.utils._device", "torch._opaque_base")
"""What replies need beyond the first import, or of a part that is left out."""


def import_torch(*, lean: bool = False) -> None:
    """Import PyTorch if nobody has; `lean`: the part of it that replies need, where that is known to do."""
    if "torch" in sys.modules:
        return
    with _no_collections():
        ahead.link_torch()
        ahead.import_others()
        with contextlib.suppress(ImportError):
            # Else PyTorch's C++ does it, which takes whatever comes meanwhile, a Ctrl-C as well, for NumPy's absence.
            importlib.import_module("numpy")
        if lean and _known():
            _import_part()
        else:
            importlib.import_module("torch")


@contextlib.contextmanager
def _no_collections() -> Iterator[None]:
    """A tenth of the import's time goes into looking for garbage among what stays for good; later searches skip it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if enabled:
            gc.enable()


def _known() -> bool:
    """Whether this is a PyTorch whose first import was studied, with no backend that has an import of its own."""
    if sys.platform != "linux" or os.environ.get(SWITCH, "").lower() in {"0", "off", "false", "no"}:
        return False
    spec = find_spec("torch")
    try:
        text = (Path(*(spec.submodule_search_locations or []) if spec else ()) / "version.py").read_text("utf-8")
    except OSError:
        return False
    told = dict(re.findall(r"^(\w+)[^=\n]*= *(.*)$", text, re.MULTILINE))
    version = told.get("__version__", "").strip("'").partition("+")[0]
    if version not in TESTED or any(told.get(kind) != "None" for kind in ("cuda", "hip", "xpu")):
        return False
    from importlib.metadata import entry_points

    return not entry_points(group="torch.backends")


class _StandIn(ModuleType):
    """In a module's place while PyTorch's first import runs."""


class _Parts:
    """On `sys.meta_path`: gives stand-ins while the import runs; afterwards completes it before any further one."""

    def __init__(self) -> None:
        self.importing = True
        self.turn = threading.local()

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        if not self.importing:
            if name.startswith("torch."):
                complete()
            return None
        if name == "torch":
            return self._whole()
        return ModuleSpec(name, self, is_package=True) if name in LEFT_OUT else None  # type: ignore[arg-type]

    def _whole(self) -> ModuleSpec | None:
        """PyTorch itself; its import ends, for all threads, once the stand-ins are gone."""
        spec = PathFinder.find_spec("torch")
        if spec is not None and spec.loader is not None:
            loader = spec.loader
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                del vars(loader)["exec_module"]
                try:
                    execute(module)
                    _make_good()
                finally:
                    _withdraw()
                    self.importing = False

            vars(loader)["exec_module"] = exec_module
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        for name in LEFT_OUT[module.__name__]:
            setattr(module, name, None)


_parts: _Parts | None = None
"""Of a lean import that is not complete."""


def _import_part() -> None:
    global _parts  # noqa: PLW0603  (one for a process, as `sys.modules` is)
    _parts = _Parts()
    sys.meta_path.insert(0, _parts)
    importlib.import_module("torch")


def _make_good() -> None:
    """Do what replies need of the parts that are left out: generators of random numbers get their class of classes."""
    _device, opaque = (importlib.import_module(name) for name in ALSO)
    sys.modules["torch"]._C._set_generator_metaclass(opaque.OpaqueBaseMeta)


def _withdraw() -> None:
    """Take the stand-ins away, wherever PyTorch's import has put them."""
    for name, taken in LEFT_OUT.items():
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]
        owner, _, attribute = name.rpartition(".")
        for place, what in ((owner, attribute), *(("torch", one) for one in taken)):
            if place in sys.modules:
                vars(sys.modules[place]).pop(what, None)
    for package in _packages():
        vars(package)["__getattr__"] = _completing(package)


def _packages() -> list[ModuleType]:
    return [m for name, m in sys.modules.items() if name.partition(".")[0] == "torch" and hasattr(m, "__path__")]


def _completing(package: ModuleType) -> Any:
    """A package's `__getattr__`, until the import is complete."""
    before = vars(package).get("__getattr__")

    def __getattr__(name: str) -> Any:
        if not (name.startswith("__") and name.endswith("__")):
            complete()
            if name in vars(package):
                return vars(package)[name]
        if before is not None:
            return before(name)
        raise AttributeError(f"module {package.__name__!r} has no attribute {name!r}")

    __getattr__.before = before  # type: ignore[attr-defined]
    return __getattr__


def complete() -> bool:
    """Make a lean import a whole one. False where there is nothing to do, or this thread is at it."""
    global _parts  # noqa: PLW0603
    parts = _parts
    if parts is None or getattr(parts.turn, "taken", False):
        return False
    parts.turn.taken = True
    try:
        # Two threads may be here at once: an import is made once for both, and what follows it comes to the same.
        for name, taken in LEFT_OUT.items():
            module = importlib.import_module(name)
            for one in taken:
                setattr(sys.modules["torch"], one, getattr(module, one))
        for package in _packages():
            hook: Any = vars(package).get("__getattr__")
            if hasattr(hook, "before"):
                if hook.before is None:
                    vars(package).pop("__getattr__", None)
                else:
                    vars(package)["__getattr__"] = hook.before
        _parts = None
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(parts)
    finally:
        parts.turn.taken = False
    return True
