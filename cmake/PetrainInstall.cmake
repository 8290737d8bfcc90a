# Headers, static library and CMake package, for `cmake --install` and, the same files, for the wheel.
include(CMakePackageConfigHelpers)
set(_cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/petrain")
install(TARGETS petrain EXPORT petrainTargets COMPONENT dev
        ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(DIRECTORY cpp/include/petrain COMPONENT dev DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(EXPORT petrainTargets NAMESPACE petrain:: COMPONENT dev DESTINATION "${_cmake_dir}")
configure_package_config_file(cmake/petrainConfig.cmake.in petrainConfig.cmake INSTALL_DESTINATION "${_cmake_dir}")
write_basic_package_version_file(petrainConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/petrainConfig.cmake"
              "${CMAKE_CURRENT_BINARY_DIR}/petrainConfigVersion.cmake"
        COMPONENT dev DESTINATION "${_cmake_dir}")
