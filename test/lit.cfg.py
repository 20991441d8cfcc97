"""Configuration of Lathe's lit suite.

Environment:
  LATHE_SHARED            folder of the models and data that are too large for
                          the repository; feature `shared`
  LATHE_VERIFY_ROUNDTRIP  1: every lathe-opt also runs --verify-roundtrip
  LATHE_NIGHTLY           1: feature `nightly`, for tests that take long
  LATHE_PYTHON            python with onnx, onnxruntime and numpy
"""

import os
import platform
import shutil
import subprocess

import lit.formats
from lit.llvm import llvm_config
from lit.llvm.subst import FindTool, ToolSubst

config.name = "LATHE"
config.test_format = lit.formats.ShTest(not llvm_config.use_lit_shell)
config.suffixes = [".mlir", ".test", ".py"]
config.excludes = ["Inputs", "utils", "CMakeLists.txt", "lit.cfg.py"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.lathe_obj_root, "test")

llvm_config.with_system_environment(
    ["HOME", "TMP", "TEMP", "LATHE_SHARED", "ASAN_SYMBOLIZER_PATH"]
)
# Tests leave nothing in the user's cache, and find nothing of earlier runs.
cache_dir = os.path.join(config.test_exec_root, "cache")
shutil.rmtree(os.path.join(cache_dir, "stages"), ignore_errors=True)
config.environment["LATHE_CACHE_DIR"] = cache_dir
config.environment["FILECHECK_OPTS"] = (
    "--enable-var-scope --dump-input=fail --allow-unused-prefixes=false"
)

# Tools. One that is missing fails the whole run.
bin_dir = os.path.join(config.lathe_obj_root, "bin")
lib_dir = os.path.join(config.lathe_obj_root, "lib")
tool_dirs = [bin_dir, config.llvm_tools_dir]
roundtrip = os.environ.get("LATHE_VERIFY_ROUNDTRIP", "0") != "0"


def lathe_tool(name):
    extra = ["--verify-roundtrip"] if roundtrip and name == "lathe-opt" else []
    return ToolSubst(name, FindTool(name), extra_args=extra, unresolved="fatal")


llvm_config.with_environment("PATH", config.llvm_tools_dir, append_path=True)
llvm_config.with_environment("PATH", bin_dir, append_path=True)
llvm_config.use_default_substitutions()
llvm_config.add_tool_substitutions(
    [lathe_tool(name) for name in config.lathe_tools if name]
    + [
        ToolSubst(name, FindTool(name), unresolved="fatal")
        for name in ["mlir-opt", "mlir-translate", "llc", "llvm-objdump", "llvm-nm"]
    ],
    tool_dirs,
)

python = os.environ.get("LATHE_PYTHON", config.lathe_python)
shared = os.environ.get("LATHE_SHARED", "")
# lit's own %python is the one that runs lit; the first substitution wins.
config.substitutions.insert(0, ("%python", f'"{python}"'))
config.substitutions += [
    ("%shlibext", config.llvm_shlib_ext),
    ("%lathe_src_root", config.lathe_src_root),
    ("%lathe_obj_root", config.lathe_obj_root),
    ("%lathe_libs", lib_dir),
    ("%lathe_shared", shared),
    ("%cmake", config.lathe_cmake),
    ("%cxx", config.lathe_cxx),
    ("%cc", config.lathe_cc),
    # For programs that link an instrumented library.
    (
        "%sanitize",
        "-fsanitize=address,undefined" if config.lathe_sanitize in ("ON", "1", "TRUE") else "",
    ),
]

# Features.


def missing(feature, reason):
    """Says aloud that tests of `feature` do not run."""
    lit_config.note(f"feature '{feature}' is missing: {reason}")


if shared and os.path.isdir(os.path.join(shared, "zoo")):
    config.available_features.add("shared")
else:
    where = f"'{shared}' has no zoo/" if shared else "LATHE_SHARED is not set"
    missing("shared", f"{where}; tests on the model collection are skipped")

modules = ["numpy", "onnx", "onnxruntime"]
probe = "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, sys.argv[1:])))"
if subprocess.run([python, "-c", probe] + modules).returncode == 0:
    config.available_features.add("onnxruntime")
else:
    missing(
        "onnxruntime",
        f"{python} lacks one of {', '.join(modules)}; run scripts/setup or set "
        "LATHE_PYTHON; numeric tests are skipped",
    )

cpu_flags = set()
if os.path.exists("/proc/cpuinfo"):
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("flags"):
                cpu_flags = set(line.split())
                break
if {"avx512f", "avx512bw", "avx512vl"} <= cpu_flags:
    config.available_features.add("avx512")
if {"avx2", "fma"} <= cpu_flags:
    config.available_features.add("avx2")

nvidia = shutil.which("nvidia-smi")
if nvidia and subprocess.run([nvidia, "-L"], capture_output=True).returncode == 0:
    config.available_features.add("cuda")

if config.lathe_sanitize in ("ON", "1", "TRUE"):
    config.available_features.add("asan")
    # The packaged MLIR is not instrumented, so containers that cross its
    # boundary look overflown, memory of its allocators looks poisoned, and what
    # it keeps for ever looks leaked.
    config.environment["ASAN_OPTIONS"] = (
        "detect_container_overflow=0:allow_user_poisoning=0:"
        "detect_leaks=0:abort_on_error=0"
    )
    config.environment["UBSAN_OPTIONS"] = "print_stacktrace=1:halt_on_error=1"
    config.environment["LATHE_TIME_FACTOR"] = "5"

if os.environ.get("LATHE_NIGHTLY", "0") != "0":
    config.available_features.add("nightly")

config.available_features.add(platform.machine())

# A hanging test must not hang the run; lit needs psutil for that.
try:
    import psutil  # noqa: F401

    if lit_config.maxIndividualTestTime == 0:
        slow = {"asan", "nightly"} & set(config.available_features)
        lit_config.maxIndividualTestTime = 3600 if slow else 600
except ImportError:
    pass
