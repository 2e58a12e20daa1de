"""Django's settings: the least that login, static files and Channels need. Not for production as they stand."""

import os
from pathlib import Path

from django.core.management.utils import get_random_secret_key

HERE = Path(__file__).parent
SECRET_KEY = get_random_secret_key()  # sessions end with the process
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "livelogs",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "livelogs.middleware.content_security_policy",
]
ROOT_URLCONF = "livelogs.urls"
ASGI_APPLICATION = "livelogs.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.contrib.auth.context_processors.auth",
                                           "django.template.context_processors.request"]},
    }
]  # fmt: skip
DATABASE = os.environ.get("EXAMPLE_DATABASE", str(HERE.parent / "example.sqlite3"))
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATABASE}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "runs"
LOGOUT_REDIRECT_URL = "login"
USE_TZ = True
TIME_ZONE = "UTC"

# Where the logs come from: Prefect's own sources (PREFECT_API_URL, profiles, ...) unless it is said here, for example
# RAWLOGS = {"api_url": "http://prefect:4200/api", "auth_string": "admin:pass"}
RAWLOGS: dict[str, object] = {}
