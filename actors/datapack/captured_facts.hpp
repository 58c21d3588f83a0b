// From a captured log episode to the facts that the builder values. A translation: no figure changes.
//
// A room of its own (drover_datapack_capture), so that the builder does not depend on how logs are read.
#pragma once

#include <set>
#include <string>

#include "actors/capture/captured.hpp"
#include "actors/datapack/facts.hpp"

namespace drover::datapack {

struct CapturedFactsOptions {
  std::set<std::string> safety_events = {"vase_broken", "dish_broken"};  // kinds that mean something broke that must not
  std::string agent_profile_json;                         // one JSON object; empty: absent
};

// `episode.header.robot` must be set. Robot time is the duration that capture gives; generated logs stay synthetic.
EpisodeFacts facts_of(const capture::CapturedEpisode& episode, const CapturedFactsOptions& options = {});

}  // namespace drover::datapack
