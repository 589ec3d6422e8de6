"""The v5 net (DenseNet121): its model, training and scores."""
