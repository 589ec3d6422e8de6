"""Who is on a photo; see `tools/identify.py`."""
