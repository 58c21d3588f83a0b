#include "actors/capture/value.hpp"

#include "actors/datapack/captured_facts.hpp"
#include "actors/datapack/portable_artifacts.hpp"

namespace drover::capture {
std::string outcome_of(const CapturedEpisode& captured) {
  if (!captured.header.complete) return "unknown";
  if (captured.errors <= 0) return "success";
  return captured.units > 0 ? "recovered" : "failure";
}

Result<ValuedEpisode> value_episode(const CapturedEpisode& captured, std::vector<BlobRef> blobs,
                                    const datapack::Baseline& baseline, const econ::EconPreset& preset,
                                    const gates::Gates* gates) {
  ValuedEpisode valued;
  DROVER_ASSIGN(auto built, datapack::build_datapack(datapack::facts_of(captured), baseline, preset));
  valued.pack = std::move(built.pack);
  if (gates != nullptr)
    DROVER_TRY(gates->apply(valued.pack, datapack::expected_delta_J(valued.pack.attribution.delta_J)));
  datapack::attach_portable(captured.portable, valued.pack);
  DROVER_TRY(validate(valued.pack));
  valued.next_baseline = built.next_state;
  valued.episode = captured.header;
  valued.episode.blobs = std::move(blobs);
  if (valued.episode.outcome.empty() || valued.episode.outcome == "unknown")
    valued.episode.outcome = outcome_of(captured);
  uint64_t blob_bytes = 0;
  for (const BlobRef& blob : valued.episode.blobs) blob_bytes += blob.size_bytes;
  valued.episode.value_per_byte = datapack::value_per_byte(valued.pack, blob_bytes);
  DROVER_TRY(validate(valued.episode));
  return valued;
}

}  // namespace drover::capture
