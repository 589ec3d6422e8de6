"""The report of a work root; see `tools/report.py`."""
