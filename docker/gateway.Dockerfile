# The gateway and nothing else: docker build -f docker/gateway.Dockerfile -t driftline-gateway .
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
WORKDIR /src
COPY requirements/all.txt requirements/
# The versions that everything was tried with; a gateway needs the smaller part of them.
RUN sed -e 's/ *\\$//' -e '/^ *--hash/d' requirements/all.txt > /constraints.txt
COPY pyproject.toml README.md LICENSE ./
COPY docker/servers.yaml docker/
COPY schemas schemas
COPY sensing sensing
COPY trust trust
COPY streams streams
COPY edge_gateway edge_gateway
COPY trainer trainer
COPY console console
COPY driftline driftline
RUN python3 -m venv /opt/driftline \
    && /opt/driftline/bin/pip install --no-cache-dir --disable-pip-version-check --only-binary :all: \
        --no-binary driftline --constraint /constraints.txt '.[gateway]'

FROM ${BASE}
RUN useradd --system --uid 10001 --home-dir /var/lib/driftline --shell /usr/sbin/nologin driftline \
    && install -d -o driftline -g driftline -m 0700 /var/lib/driftline
COPY --from=build /opt/driftline /opt/driftline
ENV PATH=/opt/driftline/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DRIFTLINE_CONFIG=/etc/driftline/driftline.toml \
    DRIFTLINE_DATA=/var/lib/driftline \
    DRIFTLINE_CACHE=/var/lib/driftline/cache \
    DRIFTLINE_GATEWAY_KEYRING=/etc/driftline/keyring.json \
    DRIFTLINE_GATEWAY_LOGS=json
USER 10001
VOLUME /var/lib/driftline
STOPSIGNAL SIGTERM
ENTRYPOINT ["driftline", "gateway", "run"]
