// From a captured episode to its records: the step between a log source and the store. Pure logic.
#pragma once

#include <string>

#include "actors/capture/captured.hpp"
#include "actors/datapack/builder.hpp"
#include "actors/econ/gates.hpp"
#include "messages/datapack.hpp"
#include "messages/episode.hpp"
#include "messages/result.hpp"

namespace drover::capture {

// Success: no counted error. Recovered: errors, but the episode went on to finish its unit. Failure: otherwise.
std::string outcome_of(const CapturedEpisode& captured);

struct ValuedEpisode {
  Episode episode;  // blobs as given, value_per_byte set, passed validate()
  Datapack pack;
  datapack::BaselineState next_baseline;
};

// Values one episode. `blobs` are the manifest of its raw slice. With `gates` its trust and weights are theirs;
// without, the builder's: real data is trusted, nothing else is. Errors are the builder's, the gates' and validate()'s.
Result<ValuedEpisode> value_episode(const CapturedEpisode& captured, std::vector<BlobRef> blobs,
                                    const datapack::Baseline& baseline, const econ::EconPreset& preset,
                                    const gates::Gates* gates = nullptr);

}  // namespace drover::capture
