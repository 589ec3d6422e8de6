"""Other people's data in, results out; see `tools/import_dataset.py` and `tools/export_results.py`."""
