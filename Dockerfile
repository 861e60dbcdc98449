# syntax=docker/dockerfile:1
# The operator's image, for any architecture that Python's image and our wheels have:
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION=0.1.0 -t keeptrusts/operator:0.1.0 .
# Dependencies are those of requirements.lock, by hash, wheels only: nothing is compiled, nothing else is installed.
# A release pins the base as well: --build-arg BASE=python@sha256:…
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
COPY requirements.lock /
RUN python3 -m venv --without-pip /venv \
 && python3 -m pip --python /venv/bin/python3 install --no-cache-dir --disable-pip-version-check --no-compile \
    --require-hashes --only-binary=:all: -r /requirements.lock
COPY operator/keeptrusts_operator /app/keeptrusts_operator
# The root file system is read-only where it runs: what Python would cache has to be there.
RUN /venv/bin/python3 -m compileall -q --invalidation-mode unchecked-hash /venv/lib /app \
 && PYTHONPATH=/app /venv/bin/python3 -m keeptrusts_operator --help >/dev/null

FROM ${BASE}
ARG VERSION=dev
LABEL org.opencontainers.image.title="keeptrusts-operator" \
      org.opencontainers.image.description="Changing an AI gateway's policy becomes a non-event" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /venv /venv
COPY --from=build /app /app
COPY LICENSE /
ENV PATH=/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 65534:65534
EXPOSE 8080
ENTRYPOINT ["python3", "-m", "keeptrusts_operator"]
CMD ["run"]
