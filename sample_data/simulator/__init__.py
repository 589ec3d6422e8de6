"""Fluke photos without end: generated individuals, each photographed several times, as a net's crops."""
