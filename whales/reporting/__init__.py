"""The report of a work root; see `report.py`."""
