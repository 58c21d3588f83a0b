// Recordings as the centre holds them: what the report shows of physics episodes, read from their raw data.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "messages/datapack.hpp"
#include "messages/episode.hpp"
#include "messages/result.hpp"
#include "storage/blobs.hpp"

namespace drover::smoke {

// One picture of an episode.
struct Picture {
  double time_s = 0;
  std::string jpeg;
};

// One physics episode as it arrived.
struct WorldEpisode {
  std::string robot;
  std::string episode_id;
  std::string recording;  // the name of its file on the robot
  uint64_t seed = 0;
  std::string set;
  std::map<std::string, std::string> choices;  // of the condition: handle, lighting, ...
  bool ended = false;                          // the recording has its end
  bool complete = false;
  std::string kind;    // of the four templates; empty in a prefix
  std::string reason;  // of a failure, or why it is a prefix
  uint64_t hash = 0;
  double duration_s = 0;
  double work_J = 0;  // in the recording
  size_t skills = 0;  // that ended
  size_t events = 0;
  std::map<std::string, std::map<std::string, double>> work_by_joint_J;  // joint -> skill -> J
  std::vector<Picture> pictures;                                         // at most moments_max, spread over the episode
  uint64_t pictures_in_all = 0;
  // From its datapack.
  bool packed = false;
  double pack_J = 0;
  double delta_J = 0;
  std::string schema_version;
};

inline constexpr size_t moments_max = 6;

// Whether an episode came from a simulated world's recording.
bool is_world_episode(const Episode& episode);

// Reads the raw data of one such episode. Errors: those of the blob and of the recording.
Result<WorldEpisode> read_world_episode(const storage::Blobs& blobs, const storage::ReadTxn& txn,
                                        const Episode& episode);

void add_pack(const Datapack& pack, WorldEpisode& episode);

}  // namespace drover::smoke
