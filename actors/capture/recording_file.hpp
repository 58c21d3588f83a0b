// RecordingFile: a Recorder on a file that appears whole.
//
// While it is written the file is called `<stem>.mcap.part` and locked; finish() makes it durable and gives it its name
// in one step. A process that dies leaves the .part: adopt_recordings() gives such leftovers their final name, so that
// the folder's capture takes them as prefixes. A recording that still has its writer is never touched, also not by
// the same process. Threads: one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "actors/capture/recorder.hpp"

namespace drover::capture {

inline constexpr std::string_view recording_suffix = ".mcap";
inline constexpr std::string_view recording_part_suffix = ".mcap.part";

class RecordingFile {
 public:
  // `stem`: the name without suffix. Errors: already_exists, not_found (folder), disk_full, io, the recorder's.
  static Result<std::unique_ptr<RecordingFile>> create(const std::string& folder, const std::string& stem,
                                                       const RecordingStart& start,
                                                       const RecorderOptions& options = {});
  // Without finish() the file stays as .part, to be adopted.
  ~RecordingFile();

  Recorder& recorder() noexcept { return *recorder_; }
  // Also for an episode that was stopped (end.complete = false). Gives the final path. Errors: disk_full, io,
  // already_exists (then the file stays as .part).
  Result<std::string> finish(const RecordingEnd& end, const RecordedEnergy& energy);
  // Deletes the file: for an episode that is void (the physics diverged) and is reported elsewhere.
  Status discard();
  const std::string& part_path() const noexcept { return part_path_; }

 private:
  RecordingFile() = default;
  std::string folder_, stem_, part_path_;
  std::unique_ptr<mcap::FileSink> sink_;
  std::unique_ptr<Recorder> recorder_;
};

// Renames every leftover `*.mcap.part` of the folder that has no writer any more. Gives the new names (without folder);
// a name that is taken gets a number. Errors: io, not_found.
Result<std::vector<std::string>> adopt_recordings(const std::string& folder);

}  // namespace drover::capture
