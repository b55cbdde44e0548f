"""The canonical model in memory; knows no file format."""
