"""Celery workers that hold loaded models, predict in batches, and never lose an accepted job."""
