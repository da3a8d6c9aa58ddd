# villa-engine with all it needs, GL libraries for the simulators included.
#
#   docker build -t villa .                                                  # CPU
#   docker build -t villa --build-arg BASE=nvidia/cuda:12.6.3-runtime-ubuntu24.04 .
#   docker run --rm -v "$PWD/runs:/work/runs" villa demo --out runs/demo --quick
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE}

# The constraints pin what was tested; name another torch of the range where the GPU wants one: --build-arg TORCH="torch>=2.7".
ARG TORCH="-c constraints.txt torch"

# Not pinned: mirrors keep only the newest builds of a release, and any of them will do.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libegl1 libgles2 libegl-mesa0 libgl1-mesa-dri python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/villa-engine
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY cli cli
COPY pipelines pipelines
COPY dataengine dataengine
COPY models models
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir ${TORCH} \
    && /opt/venv/bin/pip install --no-cache-dir -c constraints.txt ".[demo,serve]" \
    && /opt/venv/bin/pip install --no-cache-dir -c constraints.txt --no-deps robosuite
ENV PATH=/opt/venv/bin:$PATH MUJOCO_GL=egl PYTHONUNBUFFERED=1
WORKDIR /work
ENTRYPOINT ["villa"]
