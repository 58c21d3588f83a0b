# Debian's libcaf-dev 0.17.6 ships no CMake config: one imported target, core only.
# CAF's own network layer (caf_io) is deliberately not offered; see actors/network.
find_package(Threads REQUIRED)
find_path(CAF_INCLUDE_DIR caf/all.hpp REQUIRED)
file(STRINGS "${CAF_INCLUDE_DIR}/caf/config.hpp" _caf_version REGEX "^#define CAF_VERSION [0-9]+")
if(NOT _caf_version MATCHES "1706")
  message(FATAL_ERROR "Drover needs CAF 0.17.6 (Debian: libcaf-dev), found: ${_caf_version}")
endif()
find_library(CAF_CORE_LIBRARY caf_core REQUIRED)
add_library(caf::library UNKNOWN IMPORTED)
set_target_properties(caf::library PROPERTIES
  IMPORTED_LOCATION "${CAF_CORE_LIBRARY}"
  INTERFACE_INCLUDE_DIRECTORIES "${CAF_INCLUDE_DIR}")
target_link_libraries(caf::library INTERFACE Threads::Threads)

add_library(caf::core INTERFACE IMPORTED)
if(DROVER_SANITIZE STREQUAL "thread")
  # Comes before libcaf_core on every link line, because it depends on it.
  add_library(drover_caf_order SHARED "${CMAKE_CURRENT_LIST_DIR}/tsan/caf_order.cpp")
  target_compile_features(drover_caf_order PUBLIC cxx_std_20)
  target_link_libraries(drover_caf_order PUBLIC caf::library ${CMAKE_DL_LIBS})
  target_link_libraries(caf::core INTERFACE drover_caf_order)
else()
  target_link_libraries(caf::core INTERFACE caf::library)
endif()
