# Shared by the scripts of this folder; sourced, not run.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Debian packages that Lathe is built with. LLVM and MLIR 22.1 come from the
# security suite of Debian 12.
lathe_packages="
  clang-22 clang-format-22 libclang-rt-22-dev lld-22 llvm-22-dev llvm-22-tools
  libmlir-22-dev mlir-22-tools
  cmake ninja-build ccache git
  protobuf-compiler libprotobuf-dev zlib1g-dev nlohmann-json3-dev libeigen3-dev
  python3 python3-venv"

say() { printf '%s\n' "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}

# phase NAME COMMAND...: runs the command and says how long it took.
phase() {
  local name=$1 start=$SECONDS status=0
  shift
  say "== $name"
  "$@" || status=$?
  say "== $name: $((SECONDS - start)) s"
  return $status
}

# Jobs that fit: a translation unit on MLIR takes up to about 1.5 GB.
jobs() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/MemAvailable/ {print int($2 / 1500000)}' /proc/meminfo)
  [ "$memory" -ge 1 ] || memory=1
  echo "${LATHE_JOBS:-$((cores < memory ? cores : memory))}"
}

# The python with the packages of requirements.txt.
python() { "${LATHE_PYTHON:-.venv/bin/python}" "$@"; }
