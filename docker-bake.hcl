# All images: docker buildx bake
# Behind a private index or a proxy with its own CA (pip.conf then says `cert = /run/secrets/ca.crt`):
#   docker buildx bake --set '*.secrets=id=pip.conf,src=pip.conf' --set '*.secrets=id=ca.crt,src=ca.crt'

variable "REGISTRY" {
  default = "" # with its slash, as 123456789012.dkr.ecr.eu-central-1.amazonaws.com/
}

variable "VERSION" {
  default = "dev"
}

variable "REVISION" {
  default = "unknown"
}

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

group "default" {
  targets = ["web", "worker", "scaler", "proxy"]
}

target "tier" {
  args = {
    PYTHON_IMAGE = PYTHON_IMAGE
    VERSION      = VERSION
    REVISION     = REVISION
  }
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
  args = {
    TORCH_INDEX = TORCH_INDEX
  }
}

target "scaler" {
  inherits   = ["tier"]
  dockerfile = "images/scaler/Dockerfile"
  tags       = ["${REGISTRY}imagefleet-scaler:${VERSION}"]
}

target "proxy" {
  dockerfile = "images/proxy/Dockerfile"
  tags       = ["${REGISTRY}imagefleet-proxy:${VERSION}"]
  args = {
    NGINX_IMAGE = NGINX_IMAGE
    VERSION     = VERSION
    REVISION    = REVISION
  }
}
