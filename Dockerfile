# One image for a Nexus and for Spores: docker compose build, or docker build -t venom-hive .
# The base may be another image with Python 3.11 or newer and pip: --build-arg BASE=...
ARG BASE=docker.io/library/python:3.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
# The environment gets no pip; the one of this stage fills it from outside, every file checked by its hash.
COPY requirements/runtime.txt requirements/
RUN python3 -m venv --without-pip /opt/venom \
    && python3 -m pip --python /opt/venom/bin/python install --no-cache-dir --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY venom_core venom_core
COPY venom_spore venom_spore
# What only builds (hatchling and what it needs) goes again.
RUN python3 -m pip --python /opt/venom/bin/python install --no-cache-dir --no-deps --no-build-isolation . \
    && python3 -m pip --python /opt/venom/bin/python uninstall --yes \
        hatchling editables packaging pathspec pluggy trove-classifiers \
    && /opt/venom/bin/python -m compileall -q /opt/venom

FROM ${BASE} AS hive
# Whoever gets in finds nothing to install with.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip \
    && mkdir /skills /workspace \
    && chown 10001:10001 /workspace
COPY --from=build /opt/venom /opt/venom
ENV PATH=/opt/venom/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HIVE_WORKSPACE=/workspace
# The current folder is on the import path of a Spore: mount or copy skills here.
WORKDIR /skills
USER 10001:10001
CMD ["venom-spore"]
HEALTHCHECK --interval=10s --timeout=10s --start-period=20s --retries=3 CMD ["python", "-m", "venom_core.health", "spore"]
