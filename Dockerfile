# The server with its built-in network, as a user without rights, on the port 8765.
#
#   docker build -t tinyllm .
#   docker run --rm -v tinyllm:/data tinyllm keys add laptop
#   docker run -p 127.0.0.1:8765:8765 -v tinyllm:/data tinyllm
FROM python:3.13-slim AS build

WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m venv /opt/tinyllm \
 && /opt/tinyllm/bin/pip install --no-cache-dir '.[serve,postgres]'

FROM python:3.13-slim

COPY --from=build /opt/tinyllm /opt/tinyllm
RUN useradd --system --uid 10001 --no-create-home tinyllm \
 && install --directory --owner=tinyllm /data
ENV PATH=/opt/tinyllm/bin:$PATH \
    TINYLLM_STORE=sqlite:////data/store.db \
    TINYLLM_KEYS_FILE=/data/keys.json
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8765
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8765/ready', timeout=4)"]
ENTRYPOINT ["tinyllm"]
# An address that others reach needs a key: `keys add` makes one, in the same volume.
CMD ["serve", "--host", "0.0.0.0"]
