"""Whether the real bindings have what the doubles offer: ``python -m tests.bindings.check PYCUDA_SOURCE``.

Run where ``tensorrt_bindings`` is installed and three stub libraries stand for NVIDIA's (``make bindings``). The runtime's
tests run on doubles; the doubles' every class, method, property, enum member and argument must be one of the real bindings'.
PyCUDA cannot be built without CUDA, so its names are looked for in the source of its wrapper.
"""

from __future__ import annotations

import inspect
import re
import sys
from enum import Enum
from pathlib import Path
from typing import Any

from tests.engines.gpu import cuda_double, trt_double

HELPERS = {"Gpu", "Enum"}


def surface(module: Any) -> dict[str, Any]:
    """Public classes and functions that a double defines itself."""
    own = {name: value for name, value in vars(module).items() if not name.startswith("_") and name not in HELPERS}
    return {name: value for name, value in own.items() if getattr(value, "__module__", "") == module.__name__}


def members(double: type) -> list[str]:
    """Public attributes that a class of the double defines; those without a leading underscore are its promise."""
    return [name for name in vars(double) if not name.startswith("_")]


def arguments(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def documented(function: Any) -> list[list[str]]:
    """The argument lists that pybind11 writes into a docstring, one an overload."""
    lists = re.findall(r"\w+\((.*?)\) -> ", (function.__doc__ or "").replace("\n", " "))
    return [[name for name in re.findall(r"(\w+):", text) if name != "self"] for text in lists]


# Attributes of the doubles' own: what tests turn or count.
KNOBS = {("Builder", "failing"), ("Builder", "builds"), ("IExecutionContext", "changes"), ("ILogger", "Severity")}


def check_class(real: Any, double: type) -> list[str]:
    wrong = []
    for name in members(double):
        if (double.__name__, name) in KNOBS:
            continue
        value = vars(double)[name]
        found = getattr(real, name, None)
        if found is None:
            wrong.append(f"{double.__name__}.{name} is not in the bindings")
        elif inspect.isfunction(value):
            wanted = arguments(value)
            signatures = documented(found)
            if not any(set(wanted) <= set(signature) for signature in signatures):
                wrong.append(f"{double.__name__}.{name}({', '.join(wanted)}): the bindings have {signatures}")
    return wrong


def check_tensorrt() -> tuple[list[str], int]:
    import tensorrt_bindings as trt

    wrong, count = [], 0
    if trt.__version__ != trt_double.__version__:
        wrong.append(f"the double is of {trt_double.__version__}, the bindings are {trt.__version__}")
    for name, double in surface(trt_double).items():
        real = getattr(trt, name, None)
        count += 1 + (len(members(double)) if isinstance(double, type) else 0)
        if real is None:
            wrong.append(f"{name} is not in the bindings")
        elif isinstance(double, type) and issubclass(double, Enum):
            wrong += [f"{name}.{member.name} is not in the bindings" for member in double if not hasattr(real, member.name)]
        elif isinstance(double, type):
            wrong += check_class(real, double)
    wrong += [
        f"ILogger.Severity.{member.name} is not in the bindings"
        for member in trt_double.ILogger.Severity
        if not hasattr(trt.ILogger.Severity, member.name)
    ]
    # Flags that were there once and that old recipes still set: if they came back, the builder should be read again.
    wrong += [f"BuilderFlag.{name} is back" for name in ("FP16", "INT8", "BF16") if hasattr(trt.BuilderFlag, name)]
    return wrong, count


def check_subclasses() -> list[str]:
    """The project derives from two of their classes; that must work, and the methods must be called as they are declared."""
    import tensorrt_bindings as trt

    from engines.build import _monitor
    from engines.runtime.trt_log import make_logger

    told: list[tuple[str, int, int]] = []
    monitor = _monitor(trt, lambda *step: told.append(step))
    monitor.phase_start("phase", None, 2)
    if monitor.step_complete("phase", 0) is not True or told != [("phase", 0, 2), ("phase", 1, 2)]:
        return [f"the progress monitor told {told}"]
    logger = make_logger(trt)
    logger.log(trt.ILogger.Severity.ERROR, "reason")
    return [] if logger.last() == "reason" else ["the logger lost its line"]


def check_pycuda(source: Path) -> tuple[list[str], int]:
    """Names that the double offers, in the wrapper's C++ and the Python around it."""
    wrapper = (source / "src" / "wrapper" / "wrap_cudadrv.cpp").read_text()
    errors = {"Error", "MemoryError", "LogicError"}
    wrong, count = [], 0
    for name, double in surface(cuda_double).items():
        if name == "GraphLibrary":
            continue
        names = [name, *(members(double) if isinstance(double, type) and name not in errors else [])]
        for each in names:
            count += 1
            if not re.search(rf'"{each}"|DEF_SIMPLE_(METHOD|FUNCTION)\({each}\)|\b{each}\b\s*,', wrapper):
                wrong.append(f"pycuda.driver: {name}: {each} is not in its wrapper")
    return wrong, count


def main(source: Path) -> int:
    wrong, count = check_tensorrt()
    more, names = check_pycuda(source)
    wrong += [*check_subclasses(), *more]
    for line in wrong:
        print(line)
    print(f"{count} names of TensorRT's bindings and {names} of PyCUDA's looked up, {len(wrong)} wrong")
    return 1 if wrong or not count or not names else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
