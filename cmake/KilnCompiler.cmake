# How Kiln's own sources are compiled: standard, warnings, visibility, sanitizers, ccache. Everything here is
# set for this folder only, so that a project that adds Kiln with add_subdirectory keeps its own settings.
include(CheckCXXCompilerFlag)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)

add_compile_options(-Wall -Wextra)
# Designated initializers in the wrong order: g++ refuses them, clang only warns.
check_cxx_compiler_flag(-Werror=reorder-init-list KILN_HAS_REORDER_INIT_LIST)
if(KILN_HAS_REORDER_INIT_LIST)
  add_compile_options(-Werror=reorder-init-list)
endif()
# The reference interpreter and constant folding must give the bits that compiled kernels give: a product and a
# sum become one fma only where the source says so.
add_compile_options(-ffp-contract=off)

if(KILN_SANITIZE STREQUAL "address")
  # `function` and `vptr` look for clang's marks in front of code and tables; generated code has none.
  add_compile_options(-fsanitize=address,undefined -fno-sanitize=function,vptr -fno-sanitize-recover=all
                      -fno-omit-frame-pointer -g)
  add_link_options(-fsanitize=address,undefined)
elseif(KILN_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer -g)
  add_link_options(-fsanitize=thread)
elseif(KILN_SANITIZE)
  message(FATAL_ERROR "KILN_SANITIZE is '${KILN_SANITIZE}'; it can be address or thread")
endif()
if(KILN_SANITIZE AND NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  message(FATAL_ERROR "Sanitizer builds use clang: -DCMAKE_CXX_COMPILER=clang++-19 (./dev asan does that)")
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

# A shared library shows Kiln's names only: not those of the fmt and std templates that it instantiates.
function(kiln_export_only_kiln target)
  set(script ${PROJECT_SOURCE_DIR}/cmake/exports.map)
  target_link_options(${target} PRIVATE -Wl,--version-script=${script})
  if(NOT KILN_SANITIZE)
    target_link_options(${target} PRIVATE -Wl,--no-undefined)
  endif()
  set_target_properties(${target} PROPERTIES LINK_DEPENDS ${script} DEFINE_SYMBOL ""
                        VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
endfunction()
