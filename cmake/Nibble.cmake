# Functions every Nibble CMakeLists uses.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

add_library(nibble_warnings INTERFACE)
target_compile_options(nibble_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wno-unused-parameter>)

if(NIBBLE_SANITIZE)
  add_compile_options(-fsanitize=${NIBBLE_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${NIBBLE_SANITIZE})
endif()

if(NOT NIBBLE_RUNTIME_ONLY)
  # Everything LLVM-linked shares one precompiled header: MLIR headers dominate
  # the compile time of a file otherwise.
  add_library(nibble_mlir INTERFACE)
  target_include_directories(nibble_mlir SYSTEM INTERFACE ${MLIR_INCLUDE_DIRS} ${LLVM_INCLUDE_DIRS})
  target_include_directories(nibble_mlir INTERFACE
    ${CMAKE_SOURCE_DIR}/include ${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR}/runtime/include
    ${CMAKE_BINARY_DIR}/runtime/include)
  target_compile_definitions(nibble_mlir INTERFACE ${LLVM_DEFINITIONS_LIST})
  target_compile_options(nibble_mlir INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fno-rtti -fno-exceptions>)
  # Only these two: component libraries would load a second copy of LLVM.
  target_link_libraries(nibble_mlir INTERFACE MLIR LLVM nibble_warnings)

  add_library(nibble_pch OBJECT ${CMAKE_SOURCE_DIR}/cmake/pch.cpp)
  target_link_libraries(nibble_pch PRIVATE nibble_mlir)
  target_precompile_headers(nibble_pch PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch.h)
endif()

# nibble_add_mlir_library(Name SOURCES a.cpp ... LINK libs... DEPENDS tablegen targets...)
function(nibble_add_mlir_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC nibble_mlir ${ARG_LINK})
  target_precompile_headers(${name} REUSE_FROM nibble_pch)
  foreach(dep nibble_tablegen ${ARG_DEPENDS})
    if(TARGET ${dep})
      add_dependencies(${name} ${dep})
    endif()
  endforeach()
endfunction()

# nibble_use_pch(executable): the header is compiled with -fPIC, so must be its users.
function(nibble_use_pch name)
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${name} PRIVATE -fPIC)
  target_precompile_headers(${name} REUSE_FROM nibble_pch)
endfunction()

# nibble_add_mlir_tool(name SOURCES main.cpp LINK libs...)
function(nibble_add_mlir_tool name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE nibble_mlir ${ARG_LINK})
  nibble_use_pch(${name})
  if(TARGET nibble_tablegen)
    add_dependencies(${name} nibble_tablegen)
  endif()
endfunction()

# nibble_add_runtime_library(name SOURCES ... LINK ...): LLVM-free by construction.
function(nibble_add_runtime_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC
    ${CMAKE_SOURCE_DIR}/runtime/include ${CMAKE_BINARY_DIR}/runtime/include)
  target_link_libraries(${name} PUBLIC ${ARG_LINK} PRIVATE nibble_warnings)
endfunction()

# GoogleTest for another machine than this: from the sources that Debian's package has, too.
if(CMAKE_CROSSCOMPILING AND NIBBLE_BUILD_TESTS)
  set(NIBBLE_GOOGLETEST /usr/src/googletest CACHE PATH "Sources of GoogleTest (package googletest)")
  add_subdirectory(${NIBBLE_GOOGLETEST} ${CMAKE_BINARY_DIR}/googletest EXCLUDE_FROM_ALL)
endif()

# nibble_add_unit_test(name SOURCES ... LINK ... [RUNTIME]): one GoogleTest binary, one ctest entry.
function(nibble_add_unit_test name)
  cmake_parse_arguments(ARG "RUNTIME" "" "SOURCES;LINK" ${ARGN})
  if(NOT NIBBLE_BUILD_TESTS)
    return()
  endif()
  if(NOT TARGET GTest::gtest_main)
    find_package(GTest REQUIRED)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  if(ARG_RUNTIME)
    target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/runtime/include
      ${CMAKE_BINARY_DIR}/runtime/include)
    target_link_libraries(${name} PRIVATE ${ARG_LINK} nibble_warnings GTest::gtest_main)
  else()
    target_link_libraries(${name} PRIVATE ${ARG_LINK} nibble_mlir GTest::gtest_main)
    nibble_use_pch(${name})
    if(TARGET nibble_tablegen)
      add_dependencies(${name} nibble_tablegen)
    endif()
  endif()
  add_test(NAME unit.${name} COMMAND ${name})
endfunction()
