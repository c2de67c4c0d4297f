# All images: docker buildx bake
# For both platforms, with attestations, as .github/workflows/images.yml does: docs/images.md
# Behind a private index or a proxy with its own CA: docs/images.md, too

variable "REGISTRY" {
  default = "" # with its slash, as 123456789012.dkr.ecr.eu-central-1.amazonaws.com/
}

variable "VERSION" {
  default = "dev"
}

variable "REVISION" {
  default = "unknown" # the commit's full id
}

variable "SOURCE" {
  default = "" # the address of the repository that it lies in
}

# Each may carry a digest, as python:3.13-slim-trixie@sha256:…, and then stays what it was.
variable "PYTHON_IMAGE" {
  default = "python:3.13-slim-trixie"
}

variable "NGINX_IMAGE" {
  default = "nginx:1.29-alpine"
}

# The worker's runtime: openvino or torch, the latter with TORCH_INDEX
variable "WORKER_TARGET" {
  default = "openvino"
}

variable "TORCH_INDEX" {
  default = ""
}

# true: with an SBOM and the provenance, which the engine's own builder can't make (see docs/images.md)
variable "ATTEST" {
  default = false
}

# All times in an image are this one, in seconds since 1970; that of the commit makes builds repeatable.
variable "SOURCE_DATE_EPOCH" {
  default = null
}

group "default" {
  targets = ["web", "worker", "scaler", "proxy"]
}

target "image" {
  context = "."
  args = {
    VERSION           = VERSION
    REVISION          = REVISION
    SOURCE_DATE_EPOCH = SOURCE_DATE_EPOCH
  }
  labels = {
    "org.opencontainers.image.source" = SOURCE != "" ? SOURCE : null
  }
  attest = ATTEST ? ["type=sbom", "type=provenance,mode=max"] : []
}

target "tier" {
  inherits = ["image"]
  args     = { PYTHON_IMAGE = PYTHON_IMAGE }
  labels   = { "org.opencontainers.image.base.name" = PYTHON_IMAGE }
}

target "web" {
  inherits   = ["tier"]
  dockerfile = "images/web/Dockerfile"
  tags       = ["${REGISTRY}imagefleet-web:${VERSION}"]
}

target "worker" {
  inherits   = ["tier"]
  dockerfile = "images/worker/Dockerfile"
  target     = WORKER_TARGET
  tags       = ["${REGISTRY}imagefleet-worker:${VERSION}"]
  args       = { TORCH_INDEX = TORCH_INDEX }
}

target "scaler" {
  inherits   = ["tier"]
  dockerfile = "images/scaler/Dockerfile"
  tags       = ["${REGISTRY}imagefleet-scaler:${VERSION}"]
}

target "proxy" {
  inherits   = ["image"]
  dockerfile = "images/proxy/Dockerfile"
  tags       = ["${REGISTRY}imagefleet-proxy:${VERSION}"]
  args       = { NGINX_IMAGE = NGINX_IMAGE }
  labels     = { "org.opencontainers.image.base.name" = NGINX_IMAGE }
}
