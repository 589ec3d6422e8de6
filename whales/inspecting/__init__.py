"""What a file of the pipeline is and whether it is sound; see `tools/inspect_pickle.py`."""
