// Shared by the capture tests: where the data is, sources over memory, reading a whole log.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actors/capture/source.hpp"

namespace drover::capture::test {

// The shared real data, or nothing when the machine has none (then the test says so and passes).
std::optional<std::string> shared_data();
std::string source_dir();
std::vector<std::shared_ptr<const Mapping>> shipped_mappings();
std::shared_ptr<const Mapping> mapping_of_kind(std::string_view kind);

std::string read_file(const std::string& path);
std::vector<std::string> files_with(const std::string& folder, std::string_view extension);
std::shared_ptr<const ByteSource> memory(std::string_view content);
std::string file_name(const std::string& path);

struct Log {
  std::vector<CapturedEpisode> episodes;
  SourceReport report;
};
// Reads all episodes. Fails the test on an error.
Log read_log(const std::string& name, std::string_view content, const std::shared_ptr<const Mapping>& mapping,
             uint64_t first_ordinal = 0);
Log read_log(const std::string& name, std::string_view content);  // mapping chosen among the shipped ones

// Every promise that each captured episode keeps.
void check_invariants(const CapturedEpisode& episode);
bool same_episode(const CapturedEpisode& a, const CapturedEpisode& b);
uint64_t random_below(uint64_t& state, uint64_t bound);  // xorshift; state != 0

}  // namespace drover::capture::test
