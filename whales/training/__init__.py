"""Training a Siamese net: plans, hard pairs, rounds."""
