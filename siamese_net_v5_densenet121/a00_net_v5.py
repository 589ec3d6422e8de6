"""Net v5's card: what scripts, library and tools must know of it."""

from siamese_net_v5_densenet121.a01_seamese_net_models_v5 import IMAGENET, build_network
from siamese_net_v5_densenet121.a02_augmentation_v5 import transforms
from whales.nets.net import BestOf, Net, TrainingMemory

NET = Net(
    name="v5",
    sizes={"full": 512, "smoke": 72},
    folds="folds_v1",
    weights=BestOf(
        prefixes=("ft_v5_512px_finetune_{fold}_",),
        key="weights_v5_512",
    ),
    share=0.3,
    threshold=0.85,
    build=build_network,
    transforms=transforms,
    memory=TrainingMemory(base=1.3, a_pixel=6050, frozen=500),
    gflop=29.6,
    weights_mb=28.6,
    first_weights=IMAGENET,
)
