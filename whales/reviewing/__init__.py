"""A local page on which people decide; see `tools/review.py`."""
