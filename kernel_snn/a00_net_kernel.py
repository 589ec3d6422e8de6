"""The kernel net in one record: its modules and the folds it trains on."""

from whales.siamese import Net

NET = Net(
    name="kernel",
    models="kernel_snn.a01_kernel_model",
    augmentation="kernel_snn.a02_augmentation_kernel",
    folds="folds_kernel",
)
# Every weight file of the published training plan carries it.
NAME = "PLAN21_martinAsWarmStart_384to1024"
