// RecordedEpisode: one episode that leaves a recording in a folder while it runs (actors/capture/RECORDING.md).
//
// A bridge and no more: the world and the policy act, the recording file keeps. Pictures are taken while the physics
// stands still and change nothing: the episode's hash is that of the same episode without a recording.
// A process that dies in the middle leaves a part file, which reads as a labelled prefix. Threads: one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/capture/jpeg.hpp"
#include "actors/capture/recording_file.hpp"
#include "actors/robot/episode.hpp"

namespace drover::robot {

struct RecordingOptions {
  std::string folder;
  std::string robot;                 // node id
  std::string policy = "script";     // what acts
  std::vector<std::string> cameras;  // empty: the world's main camera
  uint32_t image_width = 128;        // pixels
  uint32_t image_height = 128;       // pixels
  double frames_hz = 25;             // of each camera, at most one per control step; 0: no pictures
  int jpeg_quality = 85;             // 1..100
};

struct RecordedRequest {
  std::string name;  // of the recording, without suffix; unique in the folder
  uint64_t seed = 0;
  std::string condition_set = "nominal";
  int64_t start_unix_ns = 0;  // when the episode begins; its own times count from there
};

struct RecordingFacts {
  uint64_t frames = 0;      // pictures
  uint64_t bytes = 0;       // written so far
  std::string no_pictures;  // why there are none; empty: there are, or none were asked for
};

class RecordedEpisode {
 public:
  // `world` and `policy` outlive it. Errors: those of World::reset and of RecordingFile::create; not_found and
  // invalid_argument (a camera or a size that the world does not have).
  static Result<std::unique_ptr<RecordedEpisode>> begin(World& world, Policy& policy, const RecordingOptions& options,
                                                        RecordedRequest request);

  // One control step. False: the episode is over. Errors: those of World::step (the episode is void: discard it), of
  // the file, of drawing.
  Result<bool> step();
  // After step() said false: the recording is complete, durable and has its final name. Errors: those of the file.
  Result<EpisodeResult> finish();
  // Before that: ends the episode from outside. The recording is labelled as a prefix and gets its final name.
  Result<EpisodeResult> interrupt(const std::string& reason);
  // Removes the part file.
  Status discard();

  const RecordingFacts& facts() const { return facts_; }
  const RecordedRequest& request() const { return request_; }

 private:
  RecordedEpisode(World& world, Policy& policy, const RecordingOptions& options, RecordedRequest request);
  Status choose_cameras();
  Status start();
  Status take(const Action& action);
  Status take_joints(double time_s, const Action* action);
  Status take_surroundings(double time_s);
  Status take_pictures(double time_s);
  Status take_events();
  Status take_skills(const Action& action);
  Result<EpisodeResult> close(const std::string& stop_reason);

  World& world_;
  Policy& policy_;
  RecordingOptions options_;
  RecordedRequest request_;
  std::unique_ptr<capture::RecordingFile> file_;
  std::optional<EpisodeRun> run_;
  Status trouble_;  // the first one while observing a step
  std::vector<CameraInfo> cameras_;
  capture::JpegEncoder jpeg_;
  Image image_;
  RecordingFacts facts_;
  double next_frame_s_ = 0;
  double next_energy_s_ = 0;
  // What was recorded so far of what only grows.
  size_t world_events_ = 0;
  size_t policy_events_ = 0;
  size_t spans_ = 0;
  bool skill_open_ = false;
};

// The arm as URDF, for viewers: links named as in the world's scene, a cylinder for each.
std::string robot_description(const World& world);

}  // namespace drover::robot
