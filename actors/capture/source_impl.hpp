// The three kinds of LogSource; internal to this folder.
#pragma once

#include <memory>

#include "actors/capture/source.hpp"

namespace drover::capture {

struct SourceInput {
  std::string name;
  std::shared_ptr<const ByteSource> file;
  Hash hash{};
  std::shared_ptr<const Mapping> mapping;
  CaptureOptions options;
};

Result<std::unique_ptr<LogSource>> open_csv(SourceInput input);
Result<std::unique_ptr<LogSource>> open_mcap(SourceInput input);
Result<std::unique_ptr<LogSource>> open_recording(SourceInput input);

// Built in: kind "drover_recording".
std::shared_ptr<const Mapping> recording_mapping();

// By the file's name: the generator's files all start with this.
inline bool named_generated(std::string_view name) noexcept {
  return name.starts_with("generated_");
}

}  // namespace drover::capture
