"""The nets of the ensemble, in its order, and the plans of their stages, as the tools ask for them."""

from collections.abc import Sequence
from importlib import import_module

from kernel_snn.a00_net_kernel import NET as KERNEL
from siamese_net_v5_densenet121.a00_net_v5 import NET as V5
from siamese_net_v6_se_resnext.a00_net_v6 import NET as V6
from whales.base.errors import UserError
from whales.nets.net import Net
from whales.training.plan import Plan

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


_NET_OF_FOLDER = {
    "siamese_net_v5_densenet121": V5,
    "siamese_net_v6_se_resnext": V6,
    "kernel_snn": KERNEL,
}
_RUNS_NO_NET = "submission", "kfold_splits"


def net_of(script: str) -> Net | None:
    """The net that a stage trains or scores with; None for the other stages."""
    if any(part in script for part in _RUNS_NO_NET):
        return None
    return _NET_OF_FOLDER.get(script.split("/")[0])


def plans_of(key: str, profile: str) -> list[Plan]:
    """The plans that a stage's page trains a net by, in their order; none of other stages.

    key: of the stage, which is its page's name as a module.
    """
    page = import_module(key)
    of_profiles = getattr(page, "PLANS", None)
    if of_profiles is None:
        of_profiles = {name: getattr(page, name.upper(), None) for name in ("full", "smoke")}
    plans = of_profiles[profile]
    return [
        plan for plan in (plans if isinstance(plans, tuple) else [plans]) if isinstance(plan, Plan)
    ]
