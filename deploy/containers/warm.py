"""Runs while the image is built: imports what its containers will import, so that their byte code is in the image."""

import compileall
import importlib

import sklearn

import inferq
import inferq_core
import inferq_migrations
import inferq_models
import inferq_monitoring
import inferq_workers

for package in (inferq, inferq_core, inferq_migrations, inferq_models, inferq_monitoring, inferq_workers):
    compileall.compile_dir(package.__path__[0], quiet=1)
compileall.compile_dir(sklearn.__path__[0], quiet=1)
ROLES = (
    "celery.apps.worker",
    "celery.apps.beat",
    "celery.bin.celery",
    "celery.concurrency.prefork",
    "celery.concurrency.solo",
    "celery.worker.strategy",
    "inferq.cli.main",
    "inferq_migrations.runner",
    "inferq_models.examples",
    "inferq_workers.app",
    "inferq_workers.health",
    "kombu.transport.redis",
    "skops.io",
    "sqlalchemy.dialects.postgresql.psycopg",
)
for role in ROLES:
    importlib.import_module(role)
