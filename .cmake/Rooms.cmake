# Rooms: how the house is enforced by the build.
#
# drover_room(<name> ROOT <folder> [PURE] SOURCES ... DEPENDS ... [SYSTEM ...])
#
# - Every room's headers are visible only to rooms that link it. The include path of a room is a
#   folder in the build tree that holds one symbolic link (for example roots/storage/storage ->
#   <source>/storage), so `#include "storage/env.hpp"` from messages/ does not compile.
# - A PURE room (logic without actors, disk or devices) is also fenced off from CAF, LMDB, Torch
#   and CUDA: stub headers that #error shadow the system's.
# - SYSTEM names third-party targets; their headers never raise warnings.

set(DROVER_ROOTS "${CMAKE_BINARY_DIR}/roots")

function(drover_include_root out folder)
  string(REPLACE "/" "_" flat "${folder}")
  get_filename_component(parent "${DROVER_ROOTS}/${flat}/${folder}" DIRECTORY)
  file(MAKE_DIRECTORY "${parent}")
  if(NOT EXISTS "${DROVER_ROOTS}/${flat}/${folder}")
    file(CREATE_LINK "${CMAKE_SOURCE_DIR}/${folder}" "${DROVER_ROOTS}/${flat}/${folder}" SYMBOLIC)
  endif()
  set(${out} "${DROVER_ROOTS}/${flat}" PARENT_SCOPE)
endfunction()

# Stub headers for one third-party library: including any of them is a compile error with a reason.
function(drover_make_fence dir reason)
  foreach(header IN LISTS ARGN)
    if(NOT EXISTS "${dir}/${header}")
      file(WRITE "${dir}/${header}" "#error \"${reason}\"\n")
    endif()
  endforeach()
endfunction()

file(GLOB_RECURSE _caf_headers RELATIVE "${CAF_INCLUDE_DIR}" "${CAF_INCLUDE_DIR}/caf/*.hpp")
drover_make_fence("${CMAKE_BINARY_DIR}/fences/caf" "pure logic must not include CAF: put this into the *_actor files" ${_caf_headers})
drover_make_fence("${CMAKE_BINARY_DIR}/fences/lmdb" "only storage/ may include LMDB" lmdb.h)
drover_make_fence("${CMAKE_BINARY_DIR}/fences/torch" "only actors/learning may include LibTorch" torch/torch.h torch/script.h torch/all.h ATen/ATen.h)
drover_make_fence("${CMAKE_BINARY_DIR}/fences/cuda" "only kernels/ may include CUDA" cuda.h cuda_runtime.h cuda_runtime_api.h)

function(drover_fence target)
  foreach(f IN LISTS ARGN)
    target_include_directories(${target} BEFORE PRIVATE "${CMAKE_BINARY_DIR}/fences/${f}")
  endforeach()
endfunction()

add_library(drover_flags INTERFACE)
target_compile_features(drover_flags INTERFACE cxx_std_20)
target_compile_options(drover_flags INTERFACE -Wall -Wextra -Wconversion -Werror)

function(drover_room name)
  cmake_parse_arguments(ARG "PURE" "ROOT" "SOURCES;DEPENDS;SYSTEM" ${ARGN})
  drover_include_root(root "${ARG_ROOT}")
  add_library(drover_${name} STATIC ${ARG_SOURCES})
  target_include_directories(drover_${name} PUBLIC "${root}")
  target_link_libraries(drover_${name} PUBLIC ${ARG_DEPENDS} ${ARG_SYSTEM} PRIVATE drover_flags)
  if(ARG_PURE)
    drover_fence(drover_${name} caf lmdb torch cuda)
  endif()
endfunction()

# drover_test(<name> SOURCES ... DEPENDS ... [LABELS ...] [TIMEOUT <s>]): one doctest executable and its ctest entry.
function(drover_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPENDS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  if(DROVER_SANITIZE)  # several times slower
    math(EXPR ARG_TIMEOUT "4 * ${ARG_TIMEOUT}")
  endif()
  add_executable(test_${name} ${ARG_SOURCES})
  drover_include_root(tests_root tests)
  target_include_directories(test_${name} PRIVATE "${tests_root}")
  target_link_libraries(test_${name} PRIVATE drover_test_main ${ARG_DEPENDS} drover_flags)
  add_test(NAME ${name} COMMAND test_${name} --no-intro=true --no-path-filenames=true)
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}"
    ENVIRONMENT "DROVER_SHARED_DATA=${DROVER_SHARED_DATA};DROVER_SOURCE_DIR=${CMAKE_SOURCE_DIR}")
endfunction()
