# One image for web, worker, beat, indexer and sender; the command chooses. Installs by the same Makefile as a checkout.
# What a container host must allow for the workers' sandbox: docs/operation.md, "Containers".

FROM python:3.11-slim-bookworm AS build
# An index with CPU builds of torch keeps the image 4 GB smaller: --build-arg TORCH_INDEX_URL=...
ARG TORCH_INDEX_URL=""
RUN apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY Makefile requirements.txt requirements-torch.txt ./
COPY tools/find-python tools/find-python
COPY sdk sdk
RUN make install-server PYTHON=/usr/local/bin/python3.11 TORCH_INDEX_URL="$TORCH_INDEX_URL"
COPY . .
# Collecting needs settings, but no secret of a running site.
RUN WEIGHHOUSE_SECRET_KEY=only-to-collect-static-files .venv/bin/python manage.py collectstatic --no-input --verbosity 0

FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install --yes --no-install-recommends bubblewrap libseccomp2 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/weighhouse --create-home weighhouse
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/app/.venv/bin:$PATH \
    DJANGO_SETTINGS_MODULE=marketplace.settings \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    WEIGHHOUSE_VAR_DIR=/var/lib/weighhouse \
    WEIGHHOUSE_STATIC_ROOT=/app/static/collected \
    WEIGHHOUSE_LOG_FORMAT=json
VOLUME /var/lib/weighhouse
# An account without rights: the sandbox then makes a user namespace of its own, and a model never meets root.
USER 10001
EXPOSE 8000
# For a buffering reverse proxy in front, never for the internet: docs/operation.md, "In front of the site".
CMD ["gunicorn", "marketplace.wsgi", "--bind", "0.0.0.0:8000", "--worker-class", "gthread", "--workers", "2", "--threads", "64", "--timeout", "120"]
