"""Who is on a photo; see `identify.py`."""
