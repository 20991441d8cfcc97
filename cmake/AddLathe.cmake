# lathe_export_library(TARGET)
#
# Installs a static library with its part of LatheTargets.cmake.
function(lathe_export_library name)
  target_include_directories(${name} INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  install(TARGETS ${name} EXPORT LatheTargets
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
endfunction()

# The precompiled header that every library and tool on MLIR shares.
option(LATHE_PCH "Precompile the headers of MLIR" ON)
if(LATHE_PCH AND NOT TARGET LathePrecompiled)
  add_library(LathePrecompiled STATIC ${CMAKE_CURRENT_LIST_DIR}/Precompiled.cpp)
  llvm_update_compile_flags(LathePrecompiled)
  target_precompile_headers(LathePrecompiled
                            PRIVATE ${CMAKE_CURRENT_LIST_DIR}/Precompiled.h)
  if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
    # Otherwise ccache sees another header whenever it is built.
    add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -fno-pch-timestamp>")
  endif()
endif()

function(lathe_precompile name)
  if(NOT LATHE_PCH)
    return()
  endif()
  target_precompile_headers(${name} REUSE_FROM LathePrecompiled)
  get_target_property(type ${name} TYPE)
  if(type STREQUAL EXECUTABLE)
    # The header is compiled for libraries; -fPIE would not match it.
    set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${name} PRIVATE -fPIC)
  endif()
endfunction()

# add_lathe_library(NAME source... [DEPENDS target...] [LINK_LIBS lib...]
#                   [NO_MLIR])
#
# A static library of Lathe, which is installed. Unless NO_MLIR is given it
# links the shared MLIR and LLVM libraries (never the static archives).
function(add_lathe_library name)
  cmake_parse_arguments(ARG "NO_MLIR" "" "DEPENDS;LINK_LIBS" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  set_property(GLOBAL APPEND PROPERTY LATHE_LIBS ${name})
  llvm_update_compile_flags(${name})
  if(ARG_DEPENDS)
    add_dependencies(${name} ${ARG_DEPENDS})
  endif()
  target_link_libraries(${name} PUBLIC ${ARG_LINK_LIBS})
  if(NOT ARG_NO_MLIR)
    target_link_libraries(${name} PUBLIC MLIR LLVM)
    lathe_precompile(${name})
  endif()
  lathe_export_library(${name})
endfunction()

# add_lathe_tool(NAME source... [LINK_LIBS lib...] [NO_MLIR] [PLUGIN_HOST])
#
# A program that is installed. PLUGIN_HOST exports its symbols to plugins.
function(add_lathe_tool name)
  cmake_parse_arguments(ARG "NO_MLIR;PLUGIN_HOST" "" "LINK_LIBS" ${ARGN})
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  llvm_update_compile_flags(${name})
  target_compile_definitions(${name} PRIVATE
                             LATHE_VERSION="${PROJECT_VERSION}")
  target_link_libraries(${name} PRIVATE ${ARG_LINK_LIBS})
  if(NOT ARG_NO_MLIR)
    target_link_libraries(${name} PRIVATE MLIR LLVM)
    lathe_precompile(${name})
  endif()
  if(ARG_PLUGIN_HOST)
    set_target_properties(${name} PROPERTIES ENABLE_EXPORTS ON)
  endif()
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
          COMPONENT tools)
endfunction()
