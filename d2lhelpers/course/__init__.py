"""The maintainer's wing: run the notebooks, store outputs and results, export, stamp."""
