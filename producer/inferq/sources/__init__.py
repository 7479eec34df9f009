"""Rows as they lie in files and come in bodies: CSV, lines of JSON, Parquet."""
