"""The Siamese networks: head and branch joined, weight files, a net's card."""
