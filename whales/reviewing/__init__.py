"""A local page on which people decide; see `review.py`."""
