"""Net v6's card: what scripts, library and tools must know of it."""

from siamese_net_v6_se_resnext.a01_seamese_net_models_v6 import IMAGENET, build_network
from siamese_net_v6_se_resnext.a02_augmentation_v6 import transforms
from whales.nets.net import BestOf, Net, TrainingMemory

NET = Net(
    name="v6",
    sizes={"full": 384, "smoke": 48},
    folds="folds_v2",
    weights=BestOf(
        prefixes=("ft_v6_384px_finetune_{fold}_",),
        key="weights_v6_384",
    ),
    share=0.3,
    threshold=0.85,
    build=build_network,
    transforms=transforms,
    memory=TrainingMemory(base=2.0, a_pixel=6100, frozen=250),
    gflop=24.9,
    weights_mb=103.3,
    first_weights=IMAGENET,
)
