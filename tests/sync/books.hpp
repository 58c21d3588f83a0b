// Helpers for tests that look at both ends: stores in a folder, captures with episodes, datapacks and chunks, the
// audit.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "actors/sync/audit.hpp"
#include "actors/sync/central_dump.hpp"
#include "actors/sync/robot_store.hpp"
#include "messages/datapack.hpp"
#include "messages/episode.hpp"
#include "tests/support/random_values.hpp"
#include "tests/sync/temp_folder.hpp"

namespace drover::test {

template <class T>
T must(Result<T> result) {
  REQUIRE_MESSAGE(result.has_value(), (result ? "" : result.error().message()));
  return std::move(*result);
}
inline void must(const Status& status) {
  REQUIRE_MESSAGE(status.has_value(), (status ? "" : status.error().message()));
}

inline std::unique_ptr<sync::CentralStore> open_centre(const std::string& path) {
  sync::CentralStoreOptions options;
  options.path = path;
  options.map_initial_bytes = 4u << 20;
  options.sync = storage::Sync::nosync;
  return must(sync::CentralStore::open(options));
}

inline sync::RobotStoreOptions robot_options(const std::string& path, const std::string& robot, uint64_t incarnation) {
  sync::RobotStoreOptions options;
  options.path = path;
  options.robot = robot;
  options.incarnation = incarnation;
  options.map_initial_bytes = 4u << 20;
  options.sync = storage::Sync::nosync;
  return options;
}

// One episode with its datapack and a raw slice of `size` bytes; the same arguments give the same capture.
inline sync::StoreCapture episode_capture(const std::string& robot, uint64_t number, size_t size = 3000,
                                          const std::string& shared_slice = {}) {
  Rng rng(number * 7919 + robot.size() * 31 + static_cast<uint64_t>(robot.back()));
  const Bytes slice = shared_slice.empty() ? random_bytes(rng, size) : Bytes::copy_of(shared_slice);
  const std::string id = "episode-" + std::to_string(number);
  Episode episode = random_episode(rng);
  episode.robot = robot;
  episode.episode_id = id;
  episode.source_name = "log-" + std::to_string(number / 4);
  episode.value_per_byte = static_cast<double>(number % 7);
  episode.blobs = {storage::describe_blob("slice", "text/csv", slice)};
  Datapack pack = random_datapack(rng);
  pack.provenance.robot = robot;
  pack.pack_id = robot + "/" + id;
  sync::StoreCapture capture;
  capture.records.push_back({RecordKind::episode, 1, encode(episode)});
  capture.records.push_back({RecordKind::datapack, 1, encode(pack)});
  for (size_t i = 0; i < episode.blobs[0].chunks.size(); ++i) {
    const ByteView view = storage::chunk_of(slice, i);
    capture.chunks.push_back({episode.blobs[0].chunks[i].hash, Bytes::copy_of(view), episode.value_per_byte, id});
  }
  capture.marks.push_back({"spool/x", std::to_string(number)});
  return capture;
}

inline sync::NewRecord event_record(const std::string& kind, int64_t time_unix_ns) {
  return {RecordKind::event, time_unix_ns, encode(Event{time_unix_ns, kind, "info", "subject", "detail"})};
}

inline sync::Audit audit_of(const sync::CentralStore& centre, std::vector<const sync::RobotStore*> robots,
                            const sync::AuditOptions& options = {}) {
  std::vector<sync::RobotToAudit> list;
  for (const auto* robot : robots) list.push_back({"store of " + robot->identity().robot, &robot->env()});
  return must(sync::audit(centre, list, options));
}

inline std::string text_of(const sync::Audit& audit) {
  std::string text;
  for (const auto& v : audit.violations) text += v.check + ": " + v.where + ": " + v.what + "\n";
  return text;
}

inline bool blames(const sync::Audit& audit, std::string_view check, std::string_view what) {
  for (const auto& v : audit.violations)
    if (v.check == check && v.what.find(what) != std::string::npos) return true;
  return false;
}

inline std::string dump_of(const sync::CentralStore& centre) {
  std::string all;
  must(sync::dump_central(centre, [&](std::string_view line) -> Status {
    all.append(line).push_back('\n');
    return {};
  }));
  return all;
}

}  // namespace drover::test
