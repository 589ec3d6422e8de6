"""Other people's data in, results out; see `import_dataset.py` and `export_results.py`."""
