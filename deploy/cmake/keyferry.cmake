# keyferry_library, keyferry_program and keyferry_test: every target gets the same flags, and folder = target = namespace.

add_library(keyferry_flags INTERFACE)
target_compile_features(keyferry_flags INTERFACE cxx_std_20)
target_include_directories(keyferry_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(keyferry_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Wold-style-cast)
if(KEYFERRY_WERROR)
  target_compile_options(keyferry_flags INTERFACE -Werror)
endif()
if(KEYFERRY_TEST_HOOKS)
  target_compile_definitions(keyferry_flags INTERFACE KEYFERRY_TEST_HOOKS=1)
endif()
if(KEYFERRY_FUZZ)  # the libraries too: libFuzzer sees only the paths of what is built with it
  target_compile_options(keyferry_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(KEYFERRY_SANITIZE)
  target_compile_options(keyferry_flags INTERFACE
    -fsanitize=${KEYFERRY_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(keyferry_flags INTERFACE -fsanitize=${KEYFERRY_SANITIZE})
elseif(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  target_compile_options(keyferry_flags INTERFACE
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE)
  target_link_options(keyferry_flags INTERFACE -Wl,-z,relro -Wl,-z,now)
endif()

# keyferry_library(name SOURCES a.cpp ... DEPS public::deps ... PRIVATE_DEPS deps ...)
function(keyferry_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  set(target keyferry_${name})
  if(ARG_SOURCES)
    add_library(${target} STATIC ${ARG_SOURCES})
    target_link_libraries(${target} PUBLIC keyferry_flags ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
  else()
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE keyferry_flags ${ARG_DEPS})
  endif()
  add_library(keyferry::${name} ALIAS ${target})
endfunction()

# keyferry_program(name SOURCES ... DEPS ...): the binary is bin/NAME
function(keyferry_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE keyferry_flags ${ARG_DEPS})
  if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_link_options(${name} PRIVATE -pie)
  endif()
endfunction()

# keyferry_test(name SOURCES ... DEPS ... LABELS unit|e2e|crash|long [TIMEOUT s] [PROGRAMS targets it starts] [SERIAL])
# One GoogleTest program and one ctest entry; sanitizer runs take the label `unit`. SERIAL: alone on the machine, for
# tests that measure time or memory. KEYFERRY_PATIENCE multiplies each TIMEOUT (sanitizers, full counts).
set(KEYFERRY_PATIENCE 1 CACHE STRING "factor on the time limit of each test")
add_custom_target(keyferry_unit_tests)  # what a sanitizer run needs, with the programs those tests start
function(keyferry_test name)
  cmake_parse_arguments(ARG "SERIAL" "TIMEOUT" "SOURCES;DEPS;LABELS;PROGRAMS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * ${KEYFERRY_PATIENCE}")
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE keyferry_flags ${ARG_DEPS} GTest::gtest GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE
    KEYFERRY_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
    KEYFERRY_VECTORS_DIR="${PROJECT_SOURCE_DIR}/tests/vectors"
    KEYFERRY_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/test-bin)
  if(ARG_PROGRAMS)
    add_dependencies(${name} ${ARG_PROGRAMS})
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT} RUN_SERIAL ${ARG_SERIAL})
  if("unit" IN_LIST ARG_LABELS)
    add_dependencies(keyferry_unit_tests ${name})
  endif()
endfunction()

# build/bin is the release programs, wherever they were built from.
if(CMAKE_BINARY_DIR STREQUAL "${PROJECT_SOURCE_DIR}/build/release")
  file(CREATE_LINK release/bin "${PROJECT_SOURCE_DIR}/build/bin" SYMBOLIC)
endif()
