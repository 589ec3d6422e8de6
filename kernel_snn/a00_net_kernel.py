"""The kernel net's card: what scripts, library and tools must know of it."""

from pathlib import Path

from kernel_snn.a01_kernel_model import build_network
from kernel_snn.a02_augmentation_kernel import transforms
from whales.nets.net import BestOf, Net, TrainingMemory
from whales.nets.shipped_weights import ShippedWeights

# Every weight file of the published training plan carries it.
NAME = "PLAN21_martinAsWarmStart_384to1024"
# Taught on generated individuals alone, at 64 and 96 px, one channel: where a training starts that has no
# other first weights, and what answers while no net of a root is trained, at the size where it knows more.
GENERATED_START = ShippedWeights(Path(__file__).parent, "generated_start", size=96)

NET = Net(
    name="kernel",
    sizes={"full": 1024, "smoke": 64},
    folds="folds_kernel",
    weights=BestOf(
        prefixes=(
            f"{NAME}_fold_{{fold}}_final",
            # As the authors published theirs.
            "from_best_768_weights_PLAN21_martinAsWarmStart_finalTo1024_withFreezing"
            "_fold_{fold}_final",
        ),
        key="weights_kernel",
    ),
    share=0.4,
    build=build_network,
    transforms=transforms,
    memory=TrainingMemory(base=3.1, a_pixel=710, frozen=90),
    gflop=29.8,
    weights_mb=11.1,
    extra_crop=True,  # half the time a random 70-90% of each side of the crop
    shipped=GENERATED_START,
)
