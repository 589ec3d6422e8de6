"""The nets of the ensemble, in its order, as the tools ask for them."""

from collections.abc import Sequence

from kernel_snn.a00_net_kernel import NET as KERNEL
from siamese_net_v5_densenet121.a00_net_v5 import NET as V5
from siamese_net_v6_se_resnext.a00_net_v6 import NET as V6
from whales.base.errors import UserError
from whales.nets.net import Net

NETS = (V5, V6, KERNEL)


def nets_named(names: Sequence[str]) -> list[Net]:
    """The nets of these names, in the ensemble's order; all where none is named.

    `UserError` for an unknown name.
    """
    known = [net.name for net in NETS]
    for name in names:
        if name not in known:
            raise UserError(f"there is no net {name!r}; choose among {', '.join(known)}")
    return [net for net in NETS if not names or net.name in names]
