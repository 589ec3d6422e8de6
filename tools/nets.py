"""The nets of the ensemble, in its order, as the tools ask for them."""

from kernel_snn.a00_net_kernel import NET as KERNEL
from siamese_net_v5_densenet121.a00_net_v5 import NET as V5
from siamese_net_v6_se_resnext.a00_net_v6 import NET as V6

NETS = (V5, V6, KERNEL)
