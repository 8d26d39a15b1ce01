# One newswire broker, or a gateway to NATS. docs/deploying.md; two of them: deploy/compose.yaml; in Kubernetes: deploy/kubernetes.yaml.
#   docker build --tag newswire .
FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY deploy/constraints.txt deploy/
COPY src src
RUN python -m venv /opt/newswire \
    && /opt/newswire/bin/pip install --no-cache-dir --disable-pip-version-check --constraint deploy/constraints.txt ".[jetstream]" \
    && /opt/newswire/bin/pip uninstall --yes pip

FROM python:3.12-slim
# a number, so that Kubernetes can tell that it is not root
RUN groupadd --system --gid 5053 newswire \
    && useradd --system --uid 5053 --gid 5053 --home-dir /var/lib/newswire --shell /usr/sbin/nologin newswire \
    && install -d -m 0700 -o 5053 -g 5053 /var/lib/newswire
COPY --from=build /opt/newswire /opt/newswire
ENV PATH=/opt/newswire/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NEWSWIRE_HOST=0.0.0.0 \
    NEWSWIRE_OPS_DIR=/var/lib/newswire
USER 5053:5053
WORKDIR /var/lib/newswire
VOLUME /var/lib/newswire
EXPOSE 5053
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:5053/readyz', timeout=2)"]
ENTRYPOINT ["newswire"]
CMD ["broker"]
