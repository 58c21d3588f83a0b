// Shared by the semantics tests: the shipped configuration and small builders.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>

#include "actors/semantics/ontology.hpp"
#include "actors/semantics/task_graph.hpp"
#include "actors/semantics/vocabulary.hpp"

namespace drover::test {

inline std::string config_path(const std::string& name) {
  const char* root = std::getenv("DROVER_SOURCE_DIR");
  return std::string(root != nullptr ? root : ".") + "/configs/semantics/" + name;
}

inline const semantics::Vocabulary& vocabulary() {
  static const semantics::Vocabulary shipped = [] {
    auto read = semantics::Vocabulary::load(config_path("vocabulary.toml"));
    if (!read) {
      MESSAGE(read.error().message());
      std::abort();
    }
    return std::move(*read);
  }();
  return shipped;
}

inline semantics::OntologyStore seed_ontology() {
  auto read = semantics::OntologyStore::load_seed(config_path("seed_ontology.toml"), vocabulary());
  REQUIRE_MESSAGE(read, read.error().message());
  return std::move(*read);
}

inline semantics::TaskGraph seed_graph() {
  auto read = semantics::TaskGraph::load_seed(config_path("task_graph.toml"), vocabulary());
  REQUIRE_MESSAGE(read, read.error().message());
  return std::move(*read);
}

inline semantics::Proposal proposal(semantics::ProposalType type, std::string target, std::string name,
                                    semantics::Value value = {}, std::string other = {}) {
  semantics::Proposal p;
  p.type = type;
  p.target = std::move(target);
  p.name = std::move(name);
  p.value = std::move(value);
  p.other = std::move(other);
  p.confidence = 0.8;
  p.rationale = "test";
  p.evidence.add("episode-1", "episode-1/3", 1.0, 2.0);
  return p;
}

}  // namespace drover::test
