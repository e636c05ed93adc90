"""Give native classes what `dataclasses` knows of the classes that they were written as."""

import dataclasses
from typing import Any


def dress(kind: type, annotations: dict[str, str], defaults: dict[str, Any], options: dict[str, bool]) -> None:
    """Make a native class answer as the dataclass does that it was written as.

    `annotations` are the class's own, as source; `defaults` what its body assigns; `options` the decorator's.
    """
    named = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    twin: type = dataclasses.dataclass(**options)(
        type(kind.__name__, (), {"__annotations__": annotations, **named, **defaults})
    )
    for name in ("__annotations__", "__dataclass_fields__", "__dataclass_params__", "__match_args__", "__repr__"):
        setattr(kind, name, vars(twin)[name])
