"""Net v6 in one record: its modules and the folds it trains on."""

from whales.siamese import Net

NET = Net(
    name="v6",
    models="siamese_net_v6_se_resnext.a01_seamese_net_models_v6",
    augmentation="siamese_net_v6_se_resnext.a02_augmentation_v6",
    folds="folds_v2",
)
