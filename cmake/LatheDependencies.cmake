# Finds the packaged LLVM/MLIR 22.1 and the other libraries that Lathe stands
# on; a missing one ends in a message that names the Debian packages.

set(LATHE_DEBIAN_PACKAGES
    "clang-22 lld-22 llvm-22-dev llvm-22-tools libmlir-22-dev mlir-22-tools "
    "ninja-build ccache cmake protobuf-compiler libprotobuf-dev zlib1g-dev "
    "nlohmann-json3-dev libeigen3-dev python3-venv")
string(CONCAT LATHE_DEBIAN_PACKAGES ${LATHE_DEBIAN_PACKAGES})

if(NOT MLIR_DIR)
  find_program(LLVM_CONFIG_22 llvm-config-22)
  if(LLVM_CONFIG_22)
    execute_process(COMMAND ${LLVM_CONFIG_22} --prefix
                    OUTPUT_VARIABLE prefix OUTPUT_STRIP_TRAILING_WHITESPACE)
    set(MLIR_DIR ${prefix}/lib/cmake/mlir)
  endif()
endif()

# The version file refuses a bare "22", so the minor version is named.
find_package(MLIR 22.1 QUIET CONFIG)
if(NOT MLIR_FOUND)
  message(FATAL_ERROR
    "Lathe needs LLVM/MLIR 22.1 as Debian packages it; none was found.\n"
    "Install: apt-get install ${LATHE_DEBIAN_PACKAGES}\n"
    "or run scripts/setup, or set MLIR_DIR to <prefix>/lib/cmake/mlir.")
endif()
message(STATUS "LLVM/MLIR ${LLVM_PACKAGE_VERSION} in ${MLIR_DIR}")

list(APPEND CMAKE_MODULE_PATH "${MLIR_CMAKE_DIR}" "${LLVM_CMAKE_DIR}")
include(TableGen)
include(AddLLVM)
include(AddMLIR)
include(HandleLLVMOptions)
separate_arguments(LATHE_LLVM_DEFINITIONS NATIVE_COMMAND ${LLVM_DEFINITIONS})
add_definitions(${LATHE_LLVM_DEFINITIONS})

# Two copies of MLIR in one process mean two sets of TypeIDs: always the dylib.
set(MLIR_LINK_MLIR_DYLIB ON)

foreach(package Protobuf ZLIB nlohmann_json Eigen3 Threads)
  find_package(${package} QUIET)
  if(NOT ${package}_FOUND)
    message(FATAL_ERROR "Lathe needs ${package}.\n"
      "Install: apt-get install ${LATHE_DEBIAN_PACKAGES}")
  endif()
endforeach()

# Python with onnx (whose schema the importer is made from), onnxruntime and
# numpy (for the tests): what -DLATHE_PYTHON or the environment says, else the
# one that scripts/setup makes.
if(NOT LATHE_PYTHON)
  if(DEFINED ENV{LATHE_PYTHON})
    set(LATHE_PYTHON $ENV{LATHE_PYTHON})
  elseif(EXISTS ${PROJECT_SOURCE_DIR}/.venv/bin/python)
    set(LATHE_PYTHON ${PROJECT_SOURCE_DIR}/.venv/bin/python)
  else()
    find_program(LATHE_SYSTEM_PYTHON python3 REQUIRED)
    set(LATHE_PYTHON ${LATHE_SYSTEM_PYTHON})
  endif()
endif()

if(LATHE_WERROR)
  add_compile_options(-Werror)
endif()
if(LATHE_SANITIZE)
  # The packaged LLVM is not instrumented; fuzzer-no-link adds the coverage that
  # the fuzz targets of test/Fuzz follow.
  add_compile_options(-fsanitize=address,undefined,fuzzer-no-link
                      -fno-omit-frame-pointer -fno-sanitize=vptr,function
                      -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=address,undefined)
endif()
