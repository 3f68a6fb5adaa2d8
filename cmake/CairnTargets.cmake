# One target a folder: cairn_library(NAME DEPS ...) compiles every *.cc below the folder into a
# static library, and every *_test.cc into one test program NAME_test.

# Standard headers that nearly every file needs; one precompiled header serves all targets.
set(CAIRN_PCH <algorithm> <array> <bit> <chrono> <coroutine> <cstdint> <cstring> <deque>
    <functional> <map> <memory> <optional> <span> <string> <string_view> <unordered_map> <utility>
    <variant> <vector>)

function(cairn_precompile target)
  if(NOT TARGET cairn_pch)
    file(WRITE ${CMAKE_BINARY_DIR}/pch.cc "")
    add_library(cairn_pch OBJECT ${CMAKE_BINARY_DIR}/pch.cc)
    target_compile_options(cairn_pch PRIVATE -Xclang -fno-pch-timestamp)
    target_precompile_headers(cairn_pch PRIVATE ${CAIRN_PCH})
  endif()
  target_compile_options(${target} PRIVATE -Xclang -fno-pch-timestamp)
  target_precompile_headers(${target} REUSE_FROM cairn_pch)
endfunction()

function(cairn_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  cairn_precompile(${name})
  add_test(NAME ${name} COMMAND ${name} --gtest_brief=1)
  set_tests_properties(${name} PROPERTIES TIMEOUT 600)
endfunction()

function(cairn_library name)
  cmake_parse_arguments(ARG "" "" "DEPS;TEST_DEPS;EXCLUDE" ${ARGN})
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
    cairn_precompile(${name})
  else()
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/src>)
    target_link_libraries(${name} INTERFACE ${ARG_DEPS})
  endif()
  if(tests)
    cairn_test(${name}_test SOURCES ${tests} DEPS ${name} ${ARG_TEST_DEPS})
  endif()
endfunction()

# cairn_allocator(TARGET): a program's malloc, for those that are on the data path
# (docs/adr/0007-allocator.md). Sanitizers bring their own.
function(cairn_allocator target)
  if(NOT CAIRN_SANITIZE)
    target_link_libraries(${target} PRIVATE PkgConfig::TCMALLOC)
  endif()
endfunction()
