"""The v6 net (SE-ResNeXt50): its model, training and scores."""
