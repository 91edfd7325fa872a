# Headers, libraries, and the package that find_package(kiln) reads. Two export sets, so that an application that
# needs the runtime only (find_package(kiln COMPONENTS runtime)) never has to have LLVM.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/kiln)

foreach(target kiln_runtime kiln_graph kiln_codegen kiln)
  target_include_directories(${target} INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  string(REPLACE "kiln_" "" export_name ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${export_name})
endforeach()
set_target_properties(kiln_runtime kiln PROPERTIES INSTALL_RPATH "$ORIGIN")

install(TARGETS kiln_runtime EXPORT kiln-runtime)
install(TARGETS kiln EXPORT kiln)
if(NOT BUILD_SHARED_LIBS)
  install(TARGETS kiln_graph kiln_codegen EXPORT kiln)
endif()
foreach(headers api/kiln runtime/include/kiln graph/include/kiln codegen/include/kiln)
  install(DIRECTORY ${headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
endforeach()

install(EXPORT kiln-runtime NAMESPACE kiln:: DESTINATION ${package_dir} FILE kiln-runtime-targets.cmake)
install(EXPORT kiln NAMESPACE kiln:: DESTINATION ${package_dir} FILE kiln-targets.cmake)
configure_package_config_file(cmake/kilnConfig.cmake.in ${PROJECT_BINARY_DIR}/kilnConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/kilnConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/kilnConfig.cmake ${PROJECT_BINARY_DIR}/kilnConfigVersion.cmake
              cmake/FindLibomp.cmake cmake/FindFarmhash.cmake cmake/FindLibcsv.cmake DESTINATION ${package_dir})
