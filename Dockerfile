# `docker build -t tinyllm .`, then `docker compose up` or docs/running.md.
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip wheel --no-cache-dir --wheel-dir /wheels '.[serve,postgres,mcp,otel]'

FROM python:3.13-slim-bookworm
RUN useradd --create-home --uid 10001 tiny && install -d -o tiny /data
# hadolint ignore=DL3013
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links=/wheels 'tinyllm-network[serve,postgres,mcp,otel]'
USER 10001
WORKDIR /data
VOLUME /data
# Another process of the same user may read the keys, so they lie with the data, not in the image.
ENV TINYLLM_STORE=sqlite:////data/store.db TINYLLM_KEYS_FILE=/data/keys.json
EXPOSE 8765
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:8765/ready', timeout=4)"]
ENTRYPOINT ["tinyllm"]
CMD ["serve", "--host", "0.0.0.0"]
