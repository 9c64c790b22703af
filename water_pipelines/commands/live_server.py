"""A SensorThings 1.1 server of one's own, on a PostgreSQL: what the demo follows, and what the tests run against.

It is `django-ogc-sensorthings` with its data-array extension behind waitress, of the extra `live`. Nothing else in the platform knows it.
Run it with `python -m water_pipelines.commands.live_server PORT [PROCESSES]`; it listens on this machine only. Its database is named by
`LIVE_SERVER_DATABASE_URL`, which holds a password and so stands in the environment only.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

ADAPTER = "sensorthings.versions.v1_1.backends.django.adapter.DjangoBackendAdapter"

DATABASE_URL = "LIVE_SERVER_DATABASE_URL"

urlpatterns: list[Any] = []
"""Filled by `application`: Django finds the routes of a server in its root module."""


def application(database_url: str, port: int) -> Any:
    """The WSGI application of a server whose tables are made where they are not there yet."""
    import django
    from django.conf import settings
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application
    from django.urls import include, path

    parts = urlsplit(database_url)
    settings.configure(
        DEBUG=False,
        SECRET_KEY="nothing is signed",  # the server has neither sessions nor forms
        ALLOWED_HOSTS=["127.0.0.1", "localhost"],
        ROOT_URLCONF=__name__,
        USE_TZ=True,
        LOGGING_CONFIG=None,
        INSTALLED_APPS=[
            "sensorthings.versions.v1_1",
            "sensorthings.versions.v1_1.backends.django",
            "sensorthings.versions.v1_1.extensions.dataarray",
        ],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": unquote(parts.path.strip("/")),
                "USER": unquote(parts.username or ""),
                "PASSWORD": unquote(parts.password or ""),
                "HOST": parts.hostname or "",
                "PORT": str(parts.port or 5432),
                "CONN_MAX_AGE": None,
            }
        },
        SENSORTHINGS_V1_1_SERVICE_URL=f"http://127.0.0.1:{port}",
        SENSORTHINGS_V1_1_BACKEND_ADAPTER=ADAPTER,
        SENSORTHINGS_V1_1_ID_TYPE=UUID,
        SENSORTHINGS_V1_1_ID_DELIMITER="'",
        SENSORTHINGS_V1_1_DOCS_ENABLED=False,
    )
    django.setup()
    call_command("migrate", verbosity=0)
    urlpatterns.append(path("", include("sensorthings.versions.v1_1.urls")))
    return get_wsgi_application()


def serve(database_url: str, port: int, processes: int = 1) -> None:
    """Serve until the process is told to end; the others of several processes must be told, too (their group)."""
    from django.db import connections
    from waitress import serve as serve_wsgi

    serves = application(database_url, port)
    connections.close_all()  # processes do not share one
    with socket.create_server(("127.0.0.1", port)) as listening:
        for _ in range(processes - 1):
            if os.fork() == 0:
                break
        serve_wsgi(serves, sockets=[listening], threads=4)


if __name__ == "__main__":
    serve(os.environ[DATABASE_URL], *map(int, sys.argv[1:]))
