# What `cmake --install` puts beside tools and libraries: headers (generated
# ones and TableGen sources too, since others derive from them), the package
# files for find_package(Lathe), documents.
include(CMakePackageConfigHelpers)

set(LATHE_INSTALL_PACKAGEDIR ${CMAKE_INSTALL_LIBDIR}/cmake/lathe)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/lathe
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
        FILES_MATCHING PATTERN "*.h" PATTERN "*.td")
install(DIRECTORY ${PROJECT_BINARY_DIR}/include/lathe
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
        FILES_MATCHING PATTERN "*.inc"
        PATTERN "CMakeFiles" EXCLUDE)

configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/cmake/LatheConfig.cmake.in
  ${PROJECT_BINARY_DIR}/LatheConfig.cmake
  INSTALL_DESTINATION ${LATHE_INSTALL_PACKAGEDIR}
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_BINDIR CMAKE_INSTALL_LIBDIR)
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(
  ${PROJECT_BINARY_DIR}/LatheConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/LatheConfig.cmake
              ${PROJECT_BINARY_DIR}/LatheConfigVersion.cmake
        DESTINATION ${LATHE_INSTALL_PACKAGEDIR} COMPONENT development)
install(EXPORT LatheTargets DESTINATION ${LATHE_INSTALL_PACKAGEDIR}
        COMPONENT development)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs/
        DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT documents
        FILES_MATCHING PATTERN "*.md" PATTERN "*.svg")
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/README.md
        DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT documents)
