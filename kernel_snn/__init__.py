"""The kernel net: its model, training and scores."""
