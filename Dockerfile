# The image of every process of docker-compose.yml. A test reads this file (water_pipelines_tests/test_compose.py); it was checked, not built.
FROM python:3.11-slim-bookworm

# 1000: not root, as the platform needs no right that root has
RUN useradd --create-home --uid 1000 water
WORKDIR /app
COPY requirements.lock pyproject.toml README.md ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY dagster.yaml workspace.yaml ./
COPY dbt_project ./dbt_project
COPY water_pipelines ./water_pipelines
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable . \
    && mkdir -p /app/storage /var/lib/water && chown -R water /app/storage /var/lib/water

USER water
# Dagster's instance is /app/dagster.yaml; the logs of runs are in /app/storage, which all of Dagster's containers share
ENV DAGSTER_HOME=/app \
    DAGSTER_DISABLE_TELEMETRY=yes \
    DAGSTER_EVENT_BATCH_SIZE=500 \
    OPENBLAS_NUM_THREADS=1 \
    OMP_NUM_THREADS=1 \
    MKL_NUM_THREADS=1 \
    PYTHONUNBUFFERED=1 \
    WATER_HOME=/var/lib/water
CMD ["water", "--help"]
