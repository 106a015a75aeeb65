"""A plugin of mypy: an attribute that a torch module does not declare may be anything.

torch's own stubs say `Tensor | Module`, which is wrong for most attributes of open_clip's modules (numbers, functions, None) and
would need a cast at every use. What a class of this repository declares or assigns keeps its type.
"""

from collections.abc import Callable

from mypy.plugin import AttributeContext, Plugin
from mypy.types import AnyType, Type, TypeOfAny

MODULE = "torch.nn.modules.module.Module."


class TorchModules(Plugin):
    def get_attribute_hook(self, fullname: str) -> Callable[[AttributeContext], Type] | None:
        return _anything if fullname.startswith(MODULE) else None


def _anything(context: AttributeContext) -> Type:
    """The type torch gives, unless it is that of Module.__getattr__."""
    undeclared = str(context.default_attr_type) in UNDECLARED
    return AnyType(TypeOfAny.special_form) if undeclared else context.default_attr_type


UNDECLARED = ("torch._tensor.Tensor | torch.nn.modules.module.Module",)


def plugin(version: str) -> type[Plugin]:
    return TorchModules
