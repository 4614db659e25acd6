"""Whether what is computed becomes a graph, whose steps cannot depend on values."""

from torch.fx.experimental.proxy_tensor import get_proxy_mode


def is_recorded() -> bool:
    """Whether operations are recorded for :func:`zsad.export.export`."""
    return get_proxy_mode() is not None
