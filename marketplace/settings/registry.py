"""Where releases are kept and what an upload may weigh."""

from pathlib import Path

from marketplace.settings.base import VAR_DIR
from marketplace.settings.env import env

ARTIFACT_STORE = env.str("ARTIFACT_STORE", "embedded")  # embedded | kubo
STORE_DIR = Path(env.str("STORE_DIR", str(VAR_DIR / "store")))
KUBO_API_ADDR = env.str("KUBO_API_ADDR", "/ip4/127.0.0.1/tcp/5001/http")
UPLOAD_DIR = Path(env.str("UPLOAD_DIR", str(VAR_DIR / "uploads")))
ARTIFACT_CACHE_DIR = Path(env.str("ARTIFACT_CACHE_DIR", str(VAR_DIR / "cache")))

UPLOAD_MAX_FILE_BYTES = env.int("UPLOAD_MAX_FILE_BYTES", 4 * 1024**3)
UPLOAD_MAX_TOTAL_BYTES = env.int("UPLOAD_MAX_TOTAL_BYTES", 8 * 1024**3)
UPLOAD_MAX_FILES = env.int("UPLOAD_MAX_FILES", 200)
# Releases of one publisher that are being checked at once: each may hold a worker for a minute and more.
RELEASE_MAX_CHECKING = env.int("RELEASE_MAX_CHECKING", 4)
# Uploads that one publisher may have open, and how long one that nobody touches is kept.
UPLOAD_MAX_OPEN = env.int("UPLOAD_MAX_OPEN", 20)
UPLOAD_RETENTION_S = env.int("UPLOAD_RETENTION_S", 7 * 24 * 3600)
