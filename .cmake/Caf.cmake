# Debian's libcaf-dev 0.17.6 ships no CMake config: one imported target, core only.
# CAF's own network layer (caf_io) is deliberately not offered; see actors/network.
find_package(Threads REQUIRED)
find_path(CAF_INCLUDE_DIR caf/all.hpp REQUIRED)
file(STRINGS "${CAF_INCLUDE_DIR}/caf/config.hpp" _caf_version REGEX "^#define CAF_VERSION [0-9]+")
if(NOT _caf_version MATCHES "1706")
  message(FATAL_ERROR "Drover needs CAF 0.17.6 (Debian: libcaf-dev), found: ${_caf_version}")
endif()
find_library(CAF_CORE_LIBRARY caf_core REQUIRED)
add_library(caf::core UNKNOWN IMPORTED)
set_target_properties(caf::core PROPERTIES
  IMPORTED_LOCATION "${CAF_CORE_LIBRARY}"
  INTERFACE_INCLUDE_DIRECTORIES "${CAF_INCLUDE_DIR}")
target_link_libraries(caf::core INTERFACE Threads::Threads)
