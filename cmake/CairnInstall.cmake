# What `cmake --install` puts in place for those who build on the Raft library: static libraries,
# headers below include/cairn/, a CMake package and pkg-config files.
#
#   find_package(Cairn)  ->  cairn::raft        the pure core
#                            cairn::multiraft   many groups on a log: Node, StateMachine, Host
#                            cairn::io_real     the reactor, disks and sockets to run them on
# Component `raft` is these alone. tests/install_test.sh builds the example against them.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(CAIRN_INSTALLED base proto wire io io_real raft rpc wal multiraft)
set(CAIRN_INSTALLED_FOLDERS base wire io raft rpc store/wal multiraft)
set(headers_dir ${CMAKE_INSTALL_INCLUDEDIR}/cairn)

foreach(name ${CAIRN_INSTALLED})
  add_library(cairn::${name} ALIAS cairn_${name})
  set_target_properties(cairn_${name} PROPERTIES EXPORT_NAME ${name})
  install(TARGETS cairn_${name} EXPORT CairnTargets COMPONENT raft
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT raft
          INCLUDES DESTINATION ${headers_dir})
endforeach()

# What headers and libraries were compiled with and their users have to agree on.
target_compile_features(cairn_base PUBLIC cxx_std_20)
if(CAIRN_PLANTED_BUGS)
  target_compile_definitions(cairn_base INTERFACE $<INSTALL_INTERFACE:CAIRN_PLANTED_BUGS>)
  set(CAIRN_PC_CFLAGS "-DCAIRN_PLANTED_BUGS")
endif()

foreach(folder ${CAIRN_INSTALLED_FOLDERS})
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/src/${folder}/ DESTINATION ${headers_dir}/${folder}
          COMPONENT raft FILES_MATCHING PATTERN "*.h"
          PATTERN "*_test.h" EXCLUDE PATTERN "test_*.h" EXCLUDE PATTERN "scenario" EXCLUDE)
endforeach()
install(DIRECTORY ${CMAKE_BINARY_DIR}/proto/wire/ DESTINATION ${headers_dir}/wire COMPONENT raft
        FILES_MATCHING PATTERN "*.pb.h")

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Cairn)
install(EXPORT CairnTargets NAMESPACE cairn:: DESTINATION ${package_dir} COMPONENT raft)
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/CairnConfig.cmake.in
                              ${CMAKE_BINARY_DIR}/CairnConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/CairnConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/CairnConfig.cmake ${CMAKE_BINARY_DIR}/CairnConfigVersion.cmake
        DESTINATION ${package_dir} COMPONENT raft)

foreach(name raft multiraft)
  configure_file(${CMAKE_SOURCE_DIR}/cmake/cairn-${name}.pc.in
                 ${CMAKE_BINARY_DIR}/cairn-${name}.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/cairn-${name}.pc COMPONENT raft
          DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
