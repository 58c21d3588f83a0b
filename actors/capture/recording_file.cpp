#include "actors/capture/recording_file.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace drover::capture {

Result<std::unique_ptr<RecordingFile>> RecordingFile::create(const std::string& folder, const std::string& stem,
                                                             const RecordingStart& start,
                                                             const RecorderOptions& options) {
  if (stem.empty() || stem.front() == '.' || stem.find('/') != std::string::npos)
    return fail(Errc::invalid_argument, stem, "is no name for a recording");
  std::unique_ptr<RecordingFile> file(new RecordingFile);
  file->folder_ = folder;
  file->stem_ = stem;
  file->part_path_ = folder + "/" + stem + std::string(recording_part_suffix);
  const std::string final_path = folder + "/" + stem + std::string(recording_suffix);
  std::error_code ignored;
  if (std::filesystem::exists(final_path, ignored)) return fail(Errc::already_exists, final_path, "is there already");
  DROVER_ASSIGN(file->sink_, mcap::FileSink::create_locked(file->part_path_));
  auto recorder = Recorder::open(*file->sink_, start, options);
  if (!recorder) {
    ::unlink(file->part_path_.c_str());
    return tl::unexpected(std::move(recorder).error());
  }
  file->recorder_ = std::move(*recorder);
  return file;
}

RecordingFile::~RecordingFile() = default;

Result<std::string> RecordingFile::finish(const RecordingEnd& end, const RecordedEnergy& energy) {
  DROVER_TRY(recorder_->finish(end, energy));
  const std::string path = folder_ + "/" + stem_ + std::string(recording_suffix);
  DROVER_TRY(sink_->publish(path));
  return path;
}

Status RecordingFile::discard() {
  if (::unlink(part_path_.c_str()) != 0) return fail(Errc::io, part_path_, std::strerror(errno));
  return {};
}

Result<std::vector<std::string>> adopt_recordings(const std::string& folder) {
  constexpr int tries = 1000;
  std::error_code failed;
  std::filesystem::directory_iterator entries(folder, failed);
  if (failed) return fail(Errc::not_found, folder, failed.message());
  std::vector<std::string> parts;
  for (const auto& entry : entries)
    if (std::string name = entry.path().filename().string(); name.ends_with(recording_part_suffix))
      parts.push_back(std::move(name));
  std::sort(parts.begin(), parts.end());
  std::vector<std::string> adopted;
  for (const std::string& part : parts) {
    const std::string stem = part.substr(0, part.size() - recording_part_suffix.size());
    for (int i = 0; i < tries; ++i) {
      std::string name = stem;
      if (i > 0) name.append(".").append(std::to_string(i));
      name.append(recording_suffix);
      const auto done = mcap::publish_abandoned(folder + "/" + part, folder + "/" + name);
      if (!done && done.error().code == Errc::already_exists) continue;
      if (!done) return tl::unexpected(done.error());
      if (*done) adopted.push_back(std::move(name));
      break;
    }
  }
  return adopted;
}

}  // namespace drover::capture
