"""Measurements against the hand-written Celery task, in the same run on the same machine."""
