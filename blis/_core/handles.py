"""Many instances behind an index: jitclass objects as numbers in an array.

Compiled code cannot index a collection of jitclass objects without counting references, which kernels do not do.
So every instance that is made is pinned: a reference is kept, and where the object and its data are is written down.
Kernels borrow an instance by the second of these numbers; the first lets go of it.
"""

from __future__ import annotations

from typing import Any

import numba
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from blis._core.state import Instance

if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
    _pinned: dict[int, Any] = {}

    def pin(instance):
        """Keep an instance alive; its handle."""
        _pinned[id(instance)] = instance
        return id(instance)

    def data_of(instance):
        """What `borrow` takes."""
        return id(instance)

    def borrow(data):
        """The instance, as long as it is pinned."""
        return _pinned[data]

    def unpin(handle):
        """Let go of an instance."""
        del _pinned[handle]

else:
    _INSTANCE = Instance.class_type.instance_type  # type: ignore[attr-defined]  # it is a jitclass

    @intrinsic
    def pin(typing_context, instance):
        """Keep an instance alive; its handle."""

        def generate(context, builder, signature, arguments):
            context.nrt.incref(builder, signature.args[0], arguments[0])
            proxy = cgutils.create_struct_proxy(signature.args[0])(context, builder, value=arguments[0])
            return builder.ptrtoint(proxy.meminfo, cgutils.intp_t)

        return types.int64(instance), generate

    @intrinsic
    def data_of(typing_context, instance):
        """What `borrow` takes."""

        def generate(context, builder, signature, arguments):
            proxy = cgutils.create_struct_proxy(signature.args[0])(context, builder, value=arguments[0])
            return builder.ptrtoint(proxy.data, cgutils.intp_t)

        return types.int64(instance), generate

    @intrinsic
    def borrow(typing_context, data):
        """The instance, as long as it is pinned; only for kernels, which count no references."""

        def generate(context, builder, signature, arguments):
            proxy = cgutils.create_struct_proxy(_INSTANCE)(context, builder)
            proxy.data = builder.inttoptr(arguments[0], proxy.data.type)
            return proxy._getvalue()

        return _INSTANCE(data), generate

    @intrinsic
    def unpin(typing_context, handle):
        """Let go of an instance."""

        def generate(context, builder, signature, arguments):
            proxy = cgutils.create_struct_proxy(_INSTANCE)(context, builder)
            proxy.meminfo = builder.inttoptr(arguments[0], proxy.meminfo.type)
            context.nrt.decref(builder, _INSTANCE, proxy._getvalue())
            return context.get_dummy_value()

        return types.void(handle), generate
