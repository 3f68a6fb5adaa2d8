# One target a folder: cairn_library(NAME DEPS ...) compiles every *.cc below the folder into a
# static library, and every *_test.cc into one test program NAME_test.

# Precompiled headers, one for each kind of target: what nearly every file of that kind needs, and
# what costs its compiler most.
set(CAIRN_PCH <algorithm> <array> <bit> <chrono> <coroutine> <cstdint> <cstring> <deque>
    <functional> <map> <memory> <optional> <span> <string> <string_view> <unordered_map> <utility>
    <variant> <vector>)
set(CAIRN_PCH_test ${CAIRN_PCH} <gmock/gmock.h> <gtest/gtest.h>)
set(CAIRN_PCH_test_DEPS GTest::gmock)
# A third of the compiler's time; what tests need of speed and backtraces is in the libraries.
set(CAIRN_PCH_test_OPTIONS $<$<CONFIG:Release>:-O0 -g0>)
set(CAIRN_PCH_cli ${CAIRN_PCH} <CLI/CLI.hpp> <nlohmann/json.hpp>)

# cairn_precompile(TARGET [test|cli])
function(cairn_precompile target)
  set(suffix "")
  if(ARGC GREATER 1)
    set(suffix _${ARGV1})
  endif()
  set(pch cairn_pch${suffix})
  if(NOT TARGET ${pch})
    file(WRITE ${CMAKE_BINARY_DIR}/${pch}.cc "")
    add_library(${pch} OBJECT ${CMAKE_BINARY_DIR}/${pch}.cc)
    target_compile_options(${pch} PRIVATE -Xclang -fno-pch-timestamp ${CAIRN_PCH${suffix}_OPTIONS})
    target_link_libraries(${pch} PRIVATE ${CAIRN_PCH${suffix}_DEPS})
    target_precompile_headers(${pch} PRIVATE ${CAIRN_PCH${suffix}})
  endif()
  target_compile_options(${target} PRIVATE -Xclang -fno-pch-timestamp)
  target_precompile_headers(${target} REUSE_FROM ${pch})
endfunction()

function(cairn_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  target_compile_options(${name} PRIVATE ${CAIRN_PCH_test_OPTIONS})
  cairn_precompile(${name} test)
  add_test(NAME ${name} COMMAND ${name} --gtest_brief=1)
  set_tests_properties(${name} PROPERTIES TIMEOUT 600)
endfunction()

function(cairn_library name)
  cmake_parse_arguments(ARG "" "PCH" "DEPS;TEST_DEPS;EXCLUDE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  if(ARG_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX "${ARG_EXCLUDE}")
  endif()
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  if(sources)
    add_library(${name} STATIC ${sources})
    target_include_directories(${name} PUBLIC $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/src>)
    target_link_libraries(${name} PUBLIC ${ARG_DEPS})
    cairn_precompile(${name} ${ARG_PCH})
  else()
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/src>)
    target_link_libraries(${name} INTERFACE ${ARG_DEPS})
  endif()
  if(tests)
    cairn_test(${name}_test SOURCES ${tests} DEPS ${name} ${ARG_TEST_DEPS})
  endif()
endfunction()

# cairn_proto(TARGET [GRPC]): the folder's FOLDER/NAME.proto become <FOLDER/NAME.pb.h>, with GRPC
# <FOLDER/NAME.grpc.pb.h> too, in the build folder.
function(cairn_proto target)
  cmake_parse_arguments(ARG "GRPC" "" "" ${ARGN})
  file(GLOB protos CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.proto)
  set(root ${CMAKE_BINARY_DIR}/proto)
  set(options --cpp_out=${root} -I ${CMAKE_SOURCE_DIR}/src)
  set(kinds pb)
  if(ARG_GRPC)
    list(APPEND options --grpc_out=${root} --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN})
    list(APPEND kinds grpc.pb)
  endif()
  set(sources)
  foreach(proto ${protos})
    file(RELATIVE_PATH name ${CMAKE_SOURCE_DIR}/src ${proto})
    string(REGEX REPLACE "\\.proto$" "" name ${name})
    set(outputs)
    foreach(kind ${kinds})
      list(APPEND outputs ${root}/${name}.${kind}.cc ${root}/${name}.${kind}.h)
      list(APPEND sources ${root}/${name}.${kind}.cc)
    endforeach()
    add_custom_command(
      OUTPUT ${outputs}
      COMMAND ${CMAKE_COMMAND} -E make_directory ${root}
      COMMAND protobuf::protoc ${options} ${proto}
      DEPENDS ${protos})
  endforeach()
  add_library(${target} STATIC ${sources})
  target_include_directories(${target} SYSTEM PUBLIC $<BUILD_INTERFACE:${root}>)
  target_link_libraries(${target} PUBLIC protobuf::libprotobuf)
  target_compile_options(${target} PRIVATE -w)
endfunction()

# cairn_allocator(TARGET): a program's malloc, for those that are on the data path
# (docs/adr/0007-allocator.md). Sanitizers bring their own.
function(cairn_allocator target)
  if(NOT CAIRN_SANITIZE)
    target_link_libraries(${target} PRIVATE PkgConfig::TCMALLOC)
  endif()
endfunction()
