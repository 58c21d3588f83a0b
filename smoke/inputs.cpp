#include "smoke/inputs.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <map>

#include "actors/capture/generate.hpp"
#include "actors/capture/source.hpp"
#include "actors/semantics/log_frames.hpp"

namespace drover::smoke {
namespace {

namespace fs = std::filesystem;
constexpr size_t files_max = 100'000;
constexpr uint64_t file_cost_bytes = 32u << 10;  // taking a file up costs about as much as reading so many bytes

bool is_log_name(const fs::path& path) {
  std::string end = path.extension().string();
  std::transform(end.begin(), end.end(), end.begin(), [](unsigned char c) { return static_cast<char>(tolower(c)); });
  return end == ".csv" || end == ".mcap";
}

Result<std::vector<std::string>> find_logs(const std::string& folder) {
  std::error_code failed;
  if (!fs::is_directory(folder, failed)) return fail(Errc::not_found, folder, "is not a folder");
  std::vector<std::string> paths;
  fs::recursive_directory_iterator walk(folder, fs::directory_options::skip_permission_denied, failed);
  for (const fs::recursive_directory_iterator end; !failed && walk != end; walk.increment(failed)) {
    if (!walk->is_regular_file() || !is_log_name(walk->path())) continue;
    if (paths.size() == files_max)
      return fail(Errc::too_large, folder, "holds more than " + std::to_string(files_max) + " logs");
    paths.push_back(walk->path().string());
  }
  if (failed) return fail(Errc::io, folder, "cannot list it: " + failed.message());
  if (paths.empty()) return fail(Errc::not_found, folder, "holds no *.csv and no *.mcap file");
  std::sort(paths.begin(), paths.end());
  return paths;
}

// The path below the folder as one file name.
std::string spool_name(const std::string& folder, const std::string& path) {
  std::string name = fs::path(path).lexically_relative(folder).string();
  std::replace(name.begin(), name.end(), '/', '_');
  return name.size() <= 200 ? name : name.substr(name.size() - 200);
}

// From the slice, where robots use what they decode anyway.
uint64_t frames_of(const capture::CapturedEpisode& episode, const capture::Mapping& mapping) {
  const auto rollout = mapping.format == capture::LogFormat::recording
                           ? semantics::rollout_from_recording(mcap::memory_source(episode.slice))
                           : semantics::rollout_from_log(episode, mapping);
  const bool telling = rollout && (rollout->signals & (semantics::signal_joints | semantics::signal_tool)) != 0;
  return telling ? rollout->frames.size() : 0;
}

Status read_episodes(LogFile& file, const Mappings& mappings, const std::string& robot) {
  DROVER_ASSIGN(auto source, mcap::file_source(file.path));
  DROVER_ASSIGN(const auto mapping, capture::choose_mapping(file.name, source, mappings));
  file.kind = mapping->kind;
  capture::CaptureOptions options;
  options.robot = robot;
  DROVER_ASSIGN(auto log, capture::open_log(file.name, source, file.hash, mapping, options));
  for (;;) {
    DROVER_ASSIGN(auto next, log->next());
    if (!next) return {};
    const capture::CapturedEpisode& episode = *next;
    file.episodes.push_back({episode.header.episode_id, episode.ordinal, episode.header.start_unix_ns,
                             episode.header.rows, episode.slice.size(), sha256(episode.slice.view()),
                             frames_of(episode, *mapping)});
  }
}

Result<LogFile> look_at(const std::string& folder, const std::string& path) {
  LogFile file;
  file.path = path;
  file.name = spool_name(folder, path);
  DROVER_ASSIGN(const auto source, mcap::file_source(path));
  file.size_bytes = source->size();
  DROVER_ASSIGN(file.hash, capture::hash_source(*source));
  return file;
}

// Largest first, each to the robot that has the fewest bytes; repeated contents to the robot that has them already.
void distribute(std::vector<LogFile>& files) {
  std::vector<size_t> order(files.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::pair(files[b].size_bytes, files[a].name) < std::pair(files[a].size_bytes, files[b].name);
  });
  std::array<uint64_t, robot_count> load{};
  std::map<Hash, size_t> home;
  for (const size_t i : order) {
    LogFile& file = files[i];
    const auto least = static_cast<size_t>(std::min_element(load.begin(), load.end()) - load.begin());
    const auto [known, fresh] = home.try_emplace(file.hash, least);
    file.robot = known->second;
    file.repeated = !fresh;
    if (fresh) load[file.robot] += file.size_bytes + file_cost_bytes;
  }
}

Status write_log(const fs::path& path, const std::string& content) {
  std::ofstream out(path, std::ios::binary);
  out << content;
  out.close();
  return out ? Status{} : fail(Errc::io, path.string(), "cannot write the generated log");
}

}  // namespace

uint64_t Inputs::episodes() const {
  uint64_t sum = 0;
  for (const LogFile& file : files) sum += file.episodes.size();
  return sum;
}

uint64_t Inputs::size_bytes() const {
  uint64_t sum = 0;
  for (const LogFile& file : files) sum += file.size_bytes;
  return sum;
}

Status generate_into(const std::string& folder, uint64_t seed, uint32_t episodes) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) return fail(Errc::io, folder, "cannot make the folder: " + failed.message());
  constexpr size_t sets = 4;
  constexpr int64_t shift_ns = 8LL * 3600 * 1'000'000'000;  // one shift after the other
  for (size_t set = 0; set < sets; ++set) {
    capture::GenerateOptions options;
    options.seed = seed + set;
    options.episodes = episodes;
    options.start_unix_ns += static_cast<int64_t>(set) * shift_ns;
    DROVER_ASSIGN(const auto logs, capture::generate_logs(options));
    const std::string shift = "shift" + std::to_string(set + 1);
    for (const auto& log : logs) DROVER_TRY(write_log(fs::path(folder) / (shift + "_" + log.name), log.content));
    // A file that was copied twice, as happens: it must be noticed and not be captured again.
    if (set == 0)
      DROVER_TRY(write_log(fs::path(folder) / ("zz_copied_again_" + logs.front().name), logs.front().content));
  }
  return {};
}

Result<Inputs> plan_inputs(const std::string& folder, const Mappings& mappings,
                           const std::vector<std::string>& robots) {
  DROVER_ASSIGN(const auto paths, find_logs(folder));
  Inputs inputs;
  for (const std::string& path : paths) {
    auto file = look_at(folder, path);
    if (file)
      inputs.files.push_back(std::move(*file));
    else
      inputs.left_aside.emplace_back(path, file.error().message());
  }
  distribute(inputs.files);
  std::vector<LogFile> known;
  for (LogFile& file : inputs.files) {
    const Status read = read_episodes(file, mappings, robots[file.robot]);
    if (file.repeated) file.episodes.clear();
    if (read)
      known.push_back(std::move(file));
    else
      inputs.left_aside.emplace_back(file.path, read.error().message());
  }
  inputs.files = std::move(known);
  std::sort(inputs.files.begin(), inputs.files.end(),
            [](const LogFile& a, const LogFile& b) { return std::tie(a.robot, a.name) < std::tie(b.robot, b.name); });
  if (inputs.files.empty()) return fail(Errc::not_found, folder, "no mapping fits any of its logs");
  return inputs;
}

}  // namespace drover::smoke
