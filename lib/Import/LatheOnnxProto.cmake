# Generates the C++ of ONNX's protobuf schema under Lathe's own package name.
#
# The schema is the `onnx.proto` of the PyPI package `onnx`, which scripts/setup
# installs; it is not vendored. Two edits are made on the way:
#  - package `onnx` becomes `lathe.onnx`, so that a process that also loads
#    libonnx or onnxruntime does not register the same descriptors twice;
#  - TensorProto gains two fields that say where `raw_data` lies in the file.
#    They are filled by Lathe's scanner and never read from a file.

set(LATHE_ONNX_PROTO "" CACHE FILEPATH
    "onnx.proto of the PyPI package onnx (found by itself when empty)")

set(onnx_proto "${LATHE_ONNX_PROTO}")
if(NOT onnx_proto)
  # Looked for without importing the package, which would load its library.
  execute_process(
    COMMAND ${LATHE_PYTHON} -c
            "import importlib.util as u, os; s = u.find_spec('onnx'); print(os.path.join(os.path.dirname(s.origin), 'onnx.proto') if s else '')"
    OUTPUT_VARIABLE onnx_proto OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT EXISTS "${onnx_proto}")
  message(FATAL_ERROR
    "Lathe needs onnx.proto of the PyPI package `onnx`; ${LATHE_PYTHON} has "
    "none.\n"
    "Run scripts/setup, or set LATHE_PYTHON to a python that has the package, "
    "or LATHE_ONNX_PROTO to the file.")
endif()
message(STATUS "ONNX schema ${onnx_proto}")

set(proto_dir ${CMAKE_CURRENT_BINARY_DIR}/proto)
file(MAKE_DIRECTORY ${proto_dir}/lathe/Import)
file(READ ${onnx_proto} schema)
string(REGEX REPLACE "\npackage onnx;" "\npackage lathe.onnx;" schema
       "${schema}")
string(REGEX REPLACE "\nmessage TensorProto {"
       "\nmessage TensorProto {\n  optional uint64 lathe_raw_offset = 50001;\n  optional uint64 lathe_raw_length = 50002;"
       schema "${schema}")
string(FIND "${schema}" "optimize_for = LITE_RUNTIME" lite)
if(lite EQUAL -1)
  string(APPEND schema "\noption optimize_for = LITE_RUNTIME;\n")
endif()
file(CONFIGURE OUTPUT ${proto_dir}/lathe/Import/Onnx.proto CONTENT "${schema}"
     @ONLY)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${onnx_proto})

add_custom_command(
  OUTPUT ${proto_dir}/lathe/Import/Onnx.pb.cc
         ${proto_dir}/lathe/Import/Onnx.pb.h
  COMMAND protobuf::protoc --cpp_out=${proto_dir} -I ${proto_dir}
          lathe/Import/Onnx.proto
  DEPENDS ${proto_dir}/lathe/Import/Onnx.proto
  COMMENT "Generating the C++ of ONNX's schema")

add_library(LatheOnnxProto STATIC ${proto_dir}/lathe/Import/Onnx.pb.cc)
target_include_directories(LatheOnnxProto SYSTEM PUBLIC
                           $<BUILD_INTERFACE:${proto_dir}>)
target_link_libraries(LatheOnnxProto PUBLIC protobuf::libprotobuf-lite)
target_compile_options(LatheOnnxProto PRIVATE -w)
lathe_export_library(LatheOnnxProto)
