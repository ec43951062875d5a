# keyferry_embed_sql(target FUNCTION keyferry::appliance::ledger_migrations FILES 0001_init.sql 0002_names.sql ...)
#
# Compiles a store's schema into `target`: defines
#     std::span<const keyferry::store::Migration> keyferry::appliance::ledger_migrations();
# which the store declares in a header of its own. Files are named NNNN_text.sql, stand beside the store, and are numbered
# 0001, 0002, ... in the order given; each is one step of user_version. Made again when a file changes.
#
# The file is its own script: cmake -DFUNCTION=... -DFILES=a|b -DOUTPUT=x.cpp -P embed_sql.cmake

if(CMAKE_SCRIPT_MODE_FILE)
  string(REPLACE "|" ";" files "${FILES}")
  string(REGEX REPLACE "::[^:]*$" "" space "${FUNCTION}")
  string(REGEX REPLACE "^.*::" "" function "${FUNCTION}")
  set(rows "")
  set(version 0)
  foreach(file IN LISTS files)
    math(EXPR version "${version} + 1")
    file(READ "${file}" sql)
    if(sql MATCHES "\\)kf_sql\"")
      message(FATAL_ERROR "${file}: holds the end of a raw string")
    endif()
    string(APPEND rows "    keyferry::store::Migration{${version}, R\"kf_sql(${sql})kf_sql\"},\n")
  endforeach()
  file(WRITE "${OUTPUT}"
"// Made by deploy/cmake/embed_sql.cmake from .sql files: change those.
#include <array>
#include <span>

#include \"wrap/store/database.h\"

namespace ${space} {
std::span<const keyferry::store::Migration> ${function}();

std::span<const keyferry::store::Migration> ${function}() {
  static constexpr std::array kMigrations{
${rows}  };
  return kMigrations;
}
}  // namespace ${space}
")
  return()
endif()

set(KEYFERRY_EMBED_SQL_SCRIPT "${CMAKE_CURRENT_LIST_FILE}" CACHE INTERNAL "")

function(keyferry_embed_sql target)
  cmake_parse_arguments(ARG "" "FUNCTION" "FILES" ${ARGN})
  set(paths "")
  set(expected 0)
  foreach(file IN LISTS ARG_FILES)
    math(EXPR expected "${expected} + 1")
    get_filename_component(name "${file}" NAME)
    string(REGEX MATCH "^[0-9][0-9][0-9][0-9]_" number "${name}")
    string(REGEX REPLACE "^0*([0-9]+)_$" "\\1" number "${number}")
    if(NOT number EQUAL expected)
      message(FATAL_ERROR "keyferry_embed_sql(${target}): ${name} stands where number ${expected} is due")
    endif()
    get_filename_component(path "${file}" ABSOLUTE)
    list(APPEND paths "${path}")
  endforeach()
  string(REGEX REPLACE "^.*::" "" function "${ARG_FUNCTION}")
  string(REPLACE ";" "|" joined "${paths}")
  set(output "${CMAKE_CURRENT_BINARY_DIR}/${target}_${function}.cpp")
  add_custom_command(
    OUTPUT "${output}"
    COMMAND ${CMAKE_COMMAND} "-DFUNCTION=${ARG_FUNCTION}" "-DFILES=${joined}" "-DOUTPUT=${output}"
            -P "${KEYFERRY_EMBED_SQL_SCRIPT}"
    DEPENDS ${paths} "${KEYFERRY_EMBED_SQL_SCRIPT}"
    COMMENT "embedding the schema of ${target}"
    VERBATIM)
  target_sources(${target} PRIVATE "${output}")
  target_link_libraries(${target} PUBLIC keyferry::store)
endfunction()
