# NVIDIA's Triton with the luxe_text backend. The image brings the native onnxruntime backend, so ours stays out.
# No weights inside: the model repository is mounted at /models.

# The release of the embedded server (nvidia-pytriton 0.7.0 carries Triton 2.51, which is 24.10); its Python is 3.10.
ARG TRITON_IMAGE=nvcr.io/nvidia/tritonserver:24.10-py3
FROM ${TRITON_IMAGE}

# --no-deps: tokenizers asks for huggingface-hub, which only its downloads use; nothing is downloaded here.
COPY constraints.txt /tmp/constraints.txt
RUN python3 -m pip install --no-cache-dir --no-deps -c /tmp/constraints.txt numpy tokenizers \
    && rm /tmp/constraints.txt

COPY serving/luxe_serving /opt/luxe/luxe_serving
COPY serving/backends/luxe_text /opt/tritonserver/backends/luxe_text

# As the launcher sets them for the embedded server; the root file system is read-only.
ENV PYTHONPATH=/opt/luxe \
    TOKENIZERS_PARALLELISM=false \
    PYTHONDONTWRITEBYTECODE=1

# The image's user triton-server. By number, so that Kubernetes can see that it is not root.
USER 1000:1000

# What the backend imports must be there and readable, or there is no image.
RUN python3 -c "import luxe_serving.text.text_model"
