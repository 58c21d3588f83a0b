// The report page of what the fleet has learnt, made from the answers to the same questions that operators ask, so that
// it can be written from a store or from a coordinator elsewhere.
#pragma once

#include <string>

#include "nodes/commands/store_access.hpp"

namespace drover::nodes {

// Writes <folder>/index.html, one page that works offline, and <folder>/ontology.json with every number in it. Errors:
// those of the source, io.
Status write_ontology_report(Source& source, const std::string& folder);

}  // namespace drover::nodes
