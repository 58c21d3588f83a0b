#include "nodes/commands/episode_export.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "actors/capture/recording_reader.hpp"
#include "messages/hash.hpp"
#include "nodes/commands/command.hpp"
#include "nodes/commands/episode_files.hpp"
#include "nodes/commands/table.hpp"
#include "storage/mcap/reader.hpp"

namespace drover::nodes {
namespace {

namespace fs = std::filesystem;
constexpr const char* name = "drover episodes export";

// Tells one file that was written.
void tell(const AccessOptions& access, const fs::path& path, uint64_t size_bytes, const std::string& about,
          Json more = Json::object()) {
  if (!access.json) {
    std::printf("%s: %s, %s\n", path.c_str(), human_bytes(size_bytes).c_str(), about.c_str());
    return;
  }
  Json line{{"file", path.string()}, {"size_bytes", size_bytes}};
  line.update(more);
  print_text(line.dump() + "\n");
}

fs::path target(const std::string& out, const std::string& file) {
  std::error_code error;
  return fs::is_directory(out, error) ? fs::path(out) / file : fs::path(out);
}

// ---- a recording as rows: one for each joint sample

class CsvWriter final : public capture::RecordingVisitor {
 public:
  explicit CsvWriter(NewFile& to) : to_(to) {}

  void start(const capture::RecordingStart& start) override {
    start_ = start;
    std::string line = "time_s,unix_ns,skill_id,skill,mechanical_J,copper_J";
    for (const char* what : {"position", "velocity", "effort", "target"})
      for (const capture::RecordedJoint& joint : start.joints) {
        const char* unit = joint.sliding ? "_m" : "_rad";
        if (std::string_view(what) == "velocity") unit = joint.sliding ? "_m_per_s" : "_rad_per_s";
        if (std::string_view(what) == "effort") unit = joint.sliding ? "_N" : "_Nm";
        line += fmt::format(",{}.{}{}", cell(joint.name), what, unit);
      }
    put(line);
  }
  void skill_begin(const capture::RecordedSkill& skill) override { skill_ = skill; }
  void skill_end(const capture::RecordedSkill&) override { skill_ = {}; }
  void energy(double /*time_s*/, const capture::RecordedEnergy& energy) override { energy_ = energy.total; }
  void joints(double time_s, const capture::JointSample& sample) override {
    const int64_t unix_ns = start_.start_unix_ns + static_cast<int64_t>(time_s * 1e9 + 0.5);
    std::string line = fmt::format("{:.9g},{},", time_s, unix_ns);
    line += skill_.name.empty() ? "," : fmt::format("{},{}", skill_.skill_id, cell(skill_.name));
    line += fmt::format(",{},{}", energy_.mechanical, energy_.copper);
    for (const auto values : {sample.position, sample.velocity, sample.effort, sample.target})
      for (size_t i = 0; i < start_.joints.size(); ++i) line += i < values.size() ? fmt::format(",{}", values[i]) : ",";
    put(line);
    ++rows_;
  }

  const Status& status() const { return status_; }
  uint64_t rows() const { return rows_; }
  uint64_t bytes() const { return bytes_; }

 private:
  static std::string cell(std::string text) {
    for (char& c : text)
      if (c == ',' || c == '"' || c == '\n' || c == '\r') c = '_';
    return text;
  }
  void put(std::string line) {
    line += '\n';
    bytes_ += line.size();
    if (status_) status_ = to_.write(as_bytes(line));
  }
  NewFile& to_;
  Status status_;
  capture::RecordingStart start_;
  capture::RecordedSkill skill_;
  capture::RecordedJoules energy_;
  uint64_t rows_ = 0;
  uint64_t bytes_ = 0;
};

// ---- a recording as pictures: one folder per camera, and an index

class FrameWriter final : public capture::RecordingVisitor {
 public:
  FrameWriter(fs::path folder, NewFile& index) : folder_(std::move(folder)), index_(index) {
    status_ = index_.write(as_bytes("file,camera,time_s,unix_ns,width,height,skill\n"));
  }
  void start(const capture::RecordingStart& start) override { start_unix_ns_ = start.start_unix_ns; }
  void skill_begin(const capture::RecordedSkill& skill) override { skill_ = skill.name; }
  void skill_end(const capture::RecordedSkill&) override { skill_.clear(); }
  void image(double time_s, const capture::RecordedCamera& camera, const Bytes& jpeg) override {
    if (status_) status_ = write(time_s, camera, jpeg);
  }
  const Status& status() const { return status_; }
  uint64_t frames() const { return frames_; }
  uint64_t bytes() const { return bytes_; }

 private:
  Status write(double time_s, const capture::RecordedCamera& camera, const Bytes& jpeg) {
    std::error_code error;
    const std::string camera_folder = safe_name(camera.name);
    fs::create_directories(folder_ / camera_folder, error);
    if (error) return fail(Errc::io, (folder_ / camera_folder).string(), error.message());
    const std::string file = fmt::format("{}/{:06}.jpg", camera_folder, counts_[camera.name]++);
    NewFile picture(folder_ / file);
    DROVER_TRY(picture.write(jpeg.view()));
    DROVER_TRY(picture.finish());
    ++frames_;
    bytes_ += jpeg.size();
    const int64_t unix_ns = start_unix_ns_ + static_cast<int64_t>(time_s * 1e9 + 0.5);
    return index_.write(as_bytes(fmt::format("{},{},{:.9g},{},{},{},{}\n", file, camera_folder, time_s, unix_ns,
                                             camera.width, camera.height, plain_text(skill_))));
  }
  fs::path folder_;
  NewFile& index_;
  Status status_;
  int64_t start_unix_ns_ = 0;
  std::string skill_;
  std::map<std::string, uint64_t> counts_;
  uint64_t frames_ = 0;
  uint64_t bytes_ = 0;
};

Status export_rows(const AccessOptions& access, const ExportOptions& options) {
  DROVER_ASSIGN(const LoadedRecording recording, load_recording(access, options.robot, options.episode));
  const fs::path path = target(options.out, safe_name(options.episode) + ".csv");
  NewFile file(path);
  CsvWriter rows(file);
  DROVER_TRY(capture::read_recording(mcap::memory_source(recording.file), rows));
  DROVER_TRY(rows.status());
  DROVER_TRY(file.finish());
  tell(access, path, rows.bytes(), human_count(rows.rows()) + " rows", {{"rows", rows.rows()}});
  return {};
}

Status export_frames(const AccessOptions& access, const ExportOptions& options) {
  DROVER_ASSIGN(const LoadedRecording recording, load_recording(access, options.robot, options.episode));
  std::error_code error;
  const fs::path out = options.out;
  // A folder that is there gets one for the episode; a new name is the episode's folder itself.
  const fs::path folder = fs::is_directory(out, error) ? out / safe_name(options.episode) : out;
  fs::create_directories(folder, error);
  if (error) return fail(Errc::io, folder.string(), error.message());
  NewFile index(folder / "frames.csv");
  FrameWriter frames(folder, index);
  DROVER_TRY(capture::read_recording(mcap::memory_source(recording.file), frames));
  DROVER_TRY(frames.status());
  if (frames.frames() == 0) return fail(Errc::not_found, options.episode, "was recorded without pictures");
  DROVER_TRY(index.finish());
  tell(access, folder, frames.bytes(), human_count(frames.frames()) + " frames, listed in frames.csv",
       {{"frames", frames.frames()}});
  return {};
}

// The files as they are: all of them, or those of one kind.
Status export_files(const AccessOptions& access, const ExportOptions& options) {
  DROVER_ASSIGN(const auto source, open_source(access));
  DROVER_ASSIGN(const Episode episode, find_episode(*source, options.robot, options.episode));
  size_t written = 0;
  std::string others;
  for (const BlobRef& blob : episode.blobs) {
    if (!options.blob.empty() && blob.name != options.blob) continue;
    if (options.format == ExportFormat::mcap && !is_mcap(blob)) {
      others.append(others.empty() ? "" : ", ").append(safe_name(blob.name));
      continue;
    }
    const fs::path path = target(options.out, safe_name(blob.name));
    DROVER_TRY(write_blob(*source->chunks_env(), blob, path));
    tell(access, path, blob.size_bytes, "SHA-256 checked", {{"sha256", to_hex(blob.hash)}});
    ++written;
  }
  if (written > 0) return {};
  if (!others.empty())
    return fail(Errc::not_found, options.episode, "has no MCAP file; it has " + others + " (--format native)");
  return fail(Errc::not_found, options.episode, options.blob.empty() ? "has no files" : "has no such file");
}

// What `ros2 bag` wants beside an MCAP file (rosbag2 metadata, version 5).
Result<std::string> bag_metadata(const Bytes& file, const std::string& file_name) {
  DROVER_ASSIGN(const mcap::Summary summary, mcap::read_summary(*mcap::memory_source(file)));
  if (!summary.statistics) return fail(Errc::not_found, file_name, "has no statistics");
  const mcap::Statistics& s = *summary.statistics;
  const std::map<uint16_t, uint64_t> counts(s.channel_message_counts.begin(), s.channel_message_counts.end());
  const auto quoted = [](const std::string& text) { return Json(text).dump(); };  // JSON text is YAML text
  const std::string span =
      fmt::format("{{nanoseconds: {}}}\n  starting_time: {{nanoseconds_since_epoch: {}}}\n  message_count: {}\n",
                  s.message_end_time_ns - s.message_start_time_ns, s.message_start_time_ns, s.message_count);
  std::string out = "rosbag2_bagfile_information:\n  version: 5\n  storage_identifier: mcap\n  duration: " + span +
                    "  topics_with_message_count:\n";
  for (const auto& [id, channel] : summary.channels) {
    const auto schema = summary.schemas.find(channel.schema_id);
    std::string qos;
    for (const auto& [key, value] : channel.metadata)
      if (key == "offered_qos_profiles") qos = value;
    out += fmt::format(
        "    - topic_metadata: {{name: {}, type: {}, serialization_format: {}, offered_qos_profiles: {}}}\n"
        "      message_count: {}\n",
        quoted(channel.topic), quoted(schema == summary.schemas.end() ? "" : schema->second.name),
        quoted(channel.message_encoding), quoted(qos), counts.contains(id) ? counts.at(id) : 0);
  }
  out += fmt::format("  compression_format: \"\"\n  compression_mode: \"\"\n  relative_file_paths: [{}]\n  files:\n",
                     quoted(file_name));
  return out + fmt::format(
                   "    - path: {}\n      starting_time: {{nanoseconds_since_epoch: {}}}\n"
                   "      duration: {{nanoseconds: {}}}\n      message_count: {}\n",
                   quoted(file_name), s.message_start_time_ns, s.message_end_time_ns - s.message_start_time_ns,
                   s.message_count);
}

// A folder as `ros2 bag record` leaves one.
Status export_bag(const AccessOptions& access, const ExportOptions& options) {
  DROVER_ASSIGN(const auto source, open_source(access));
  DROVER_ASSIGN(const Episode episode, find_episode(*source, options.robot, options.episode));
  const auto blob = std::find_if(episode.blobs.begin(), episode.blobs.end(), is_mcap);
  if (blob == episode.blobs.end()) return fail(Errc::not_found, options.episode, "has no MCAP file");
  DROVER_ASSIGN(const Bytes content, read_blob(*source->chunks_env(), *blob));
  std::error_code error;
  const fs::path out = options.out;
  const fs::path folder = fs::is_directory(out, error) ? out / safe_name(options.episode) : out;
  fs::create_directories(folder, error);
  if (error) return fail(Errc::io, folder.string(), error.message());
  const std::string file_name = safe_name(options.episode) + "_0.mcap";
  DROVER_ASSIGN(const std::string metadata, bag_metadata(content, file_name));
  NewFile file(folder / file_name), about(folder / "metadata.yaml");
  DROVER_TRY(file.write(content.view()));
  DROVER_TRY(file.finish());
  DROVER_TRY(about.write(as_bytes(metadata)));
  DROVER_TRY(about.finish());
  tell(access, folder, content.size(), "a rosbag2 folder: ros2 bag info " + folder.string());
  return {};
}

// A CSV log is its own CSV; a recording becomes one.
Status export_csv(const AccessOptions& access, const ExportOptions& options) {
  bool log = false;
  {
    DROVER_ASSIGN(const auto source, open_source(access));
    DROVER_ASSIGN(const Episode episode, find_episode(*source, options.robot, options.episode));
    for (const BlobRef& blob : episode.blobs) log = log || is_csv(blob);
  }
  return log ? export_files(access, options) : export_rows(access, options);
}

}  // namespace

int export_episode(const AccessOptions& access, const ExportOptions& options) {
  Status done;
  switch (options.format) {
    case ExportFormat::native:
    case ExportFormat::mcap:
      done = export_files(access, options);
      break;
    case ExportFormat::rosbag2:
      done = export_bag(access, options);
      break;
    case ExportFormat::csv:
      done = export_csv(access, options);
      break;
    case ExportFormat::frames:
      done = export_frames(access, options);
      break;
  }
  return done ? exit_ok : report_failure(name, done.error());
}

}  // namespace drover::nodes
