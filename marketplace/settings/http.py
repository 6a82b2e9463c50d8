"""What faces the browser and the API's callers."""

from pathlib import Path

from csp.constants import NONE, SELF

from marketplace.settings.base import BASE_DIR, DEMO
from marketplace.settings.env import env

SITE_URL = env.str("SITE_URL", "http://127.0.0.1:8000").rstrip("/")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["127.0.0.1", "localhost"] if DEMO else [])

# Proxies in front of the site whose X-Forwarded-For and X-Forwarded-Proto are believed; 0 counts the peer's own.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", 0)

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "marketplace.storefront.middleware.FormLimit",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "marketplace.storefront.middleware.RefusalPages",
]

STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", str(BASE_DIR / "static" / "collected")))
STATICFILES_DIRS = [BASE_DIR / "static" / "dist"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

LOGIN_URL = "/sign-in/"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SITE_URL.startswith("https://")
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_TRUSTED_ORIGINS = [SITE_URL]
SECURE_CONTENT_TYPE_NOSNIFF = True
if SITE_URL.startswith("https://"):
    # A browser that was here once never comes unencrypted again.
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# JSON bodies of the API. Files are streamed and have limits of their own.
API_MAX_BODY_BYTES = env.int("API_MAX_BODY_BYTES", 8 * 1024**2)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "marketplace.accounts.authentication.ApiKeyAuthentication",
        "marketplace.accounts.authentication.CsrfSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["marketplace.accounts.permissions.IsAccount"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["marketplace.api_parser.StrictJsonParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.ScopedRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {
        "sign-in": env.str("RATE_SIGN_IN", "60/min"),
        "upload": env.str("RATE_UPLOAD", "600/min"),
        "release": env.str("RATE_RELEASE", "30/min"),
        "order": env.str("RATE_ORDER", "120/min"),
        "job": env.str("RATE_JOB", "240/min"),
        "batch": env.str("RATE_BATCH", "30/min"),
        "input": env.str("RATE_INPUT", "120/min"),
        "quote": env.str("RATE_QUOTE", "240/min"),
        # As long as a batch takes to check, whoever asks.
        "batch-quote": env.str("RATE_BATCH_QUOTE", "30/min"),
        "key": env.str("RATE_KEY", "20/min"),
        "webhook": env.str("RATE_WEBHOOK", "60/min"),
        "demo-wallet": env.str("RATE_DEMO_WALLET", "1200/min"),
    },
    "NUM_PROXIES": TRUSTED_PROXIES,
    "EXCEPTION_HANDLER": "marketplace.api_errors.problem_response",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Weighhouse API",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "marketplace.api_schema.problems_document",
    ],
    "ENUM_NAME_OVERRIDES": {
        "JobState": "marketplace.inference.models.JobState",
        "WebhookEventKind": "marketplace.webhooks.models.EventKind",
        "WebhookDeliveryState": "marketplace.webhooks.models.DeliveryState",
        "InputUploadKind": "marketplace.inference.models.UploadKind",
        "BatchState": "marketplace.inference.api_batches.BATCH_STATES",
        "OrderState": "marketplace.orders.models.OrderState",
        "OrderKind": "marketplace.orders.models.OrderKind",
        "LicenceState": "marketplace.licences.models.LicenceDisplay",
        "FinalityTier": "chain.finality.Tier",
    },
}
