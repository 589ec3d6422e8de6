"""Net v5 in one record: its modules and the folds it trains on."""

from whales.siamese import Net

NET = Net(
    name="v5",
    models="siamese_net_v5_densenet121.a01_seamese_net_models_v5",
    augmentation="siamese_net_v5_densenet121.a02_augmentation_v5",
    folds="folds_v1",
)
