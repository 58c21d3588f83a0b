// The three artifacts of a 2.1-portable datapack as values: what can be known of an episode without its raw data.
//
//   scene_tracks_v1   where everything was over time, and how hidden     Datapack::scene_tracks_json
//   rgb_features_v1   what the cameras saw, as encoder features          Datapack::rgb_features_json
//   slice_labels_v1   occlusion and motion of the whole and of slices    Datapack::slice_labels_json
//
// PORTABLE.md documents the JSON with an example. Artifacts are made by PortableBuilder (portable.hpp) and read here;
// readers need no kernels. What a reader does not know is ignored and stays in the pack's text.
// Invariant of a 2.1-portable pack: all three are there and parse, and raw_data_path is null.
// Threads: values and pure functions.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "messages/datapack.hpp"
#include "messages/result.hpp"

namespace drover::datapack {

inline constexpr size_t portable_text_max_bytes = 4u << 20;  // of one artifact, as accepted
inline constexpr size_t portable_rows_max = 100'000;         // rows of one artifact, as accepted
inline constexpr size_t portable_names_max = 1024;           // tracks or cameras, as accepted

// Artifact texts, each one JSON object or empty (there was no material).
struct PortableArtifacts {
  std::string scene_tracks_json;
  std::string rgb_features_json;
  std::string slice_labels_json;
  bool complete() const noexcept {
    return !scene_tracks_json.empty() && !rgb_features_json.empty() && !slice_labels_json.empty();
  }
  bool operator==(const PortableArtifacts&) const = default;
};

struct TrackSample {
  std::array<double, 3> position_m{};                 // world frame
  std::array<double, 4> rotation_wxyz{{1, 0, 0, 0}};  // unit within 1e-3; world from body
  double occluded = 0;                                // share hidden from the main camera, 0..1
  bool operator==(const TrackSample&) const = default;
};

struct Track {
  std::string name;
  bool is_object = false;            // something to be handled, not a part of the robot
  std::vector<TrackSample> samples;  // one per row, or exactly one: it never moved
  const TrackSample& at(size_t row) const { return samples.size() == 1 ? samples.front() : samples.at(row); }
  bool operator==(const Track&) const = default;
};

struct SceneTracks {
  std::string version;                             // "v1"
  std::vector<double> times_s;                     // of the rows, ascending, from the episode's start; not empty
  std::vector<Track> tracks;                       // by name, not empty
  const Track* find(std::string_view name) const;  // null: no such track
  bool operator==(const SceneTracks&) const = default;
};

struct CameraFeatures {
  std::string camera;           // may be empty in a file of others
  std::vector<double> times_s;  // of the rows: first frame pooled, ascending
  std::vector<float> features;  // [rows, dim]
  bool operator==(const CameraFeatures&) const = default;
};

struct RgbFeatures {
  std::string encoder;  // "vision_rgb::deterministic_pool_v1"
  size_t dim = 0;
  std::string pooling;  // "mean"
  double stride_s = 0;
  std::vector<CameraFeatures> cameras;  // the main camera first; at least one row in each
  bool operator==(const RgbFeatures&) const = default;
};

struct SliceLabel {
  double start_s = 0;
  double end_s = 0;
  double occlusion_level = 0;  // 0..1
  bool is_occluded = false;
  double motion_score = 0;  // 0..1
  bool is_dynamic = false;
  bool is_static = false;  // never together with is_dynamic
  bool operator==(const SliceLabel&) const = default;
};

struct SliceLabels {
  SliceLabel whole;                // start_s and end_s are 0 in a file that does not say them
  std::vector<SliceLabel> slices;  // in order of time, may be empty
  bool operator==(const SliceLabels&) const = default;
};

// Errors: invalid_argument, where = the field as in the pack ("scene_tracks_v1/poses_t.vase[3]").
Result<SceneTracks> parse_scene_tracks(std::string_view json);
Result<RgbFeatures> parse_rgb_features(std::string_view json);
Result<SliceLabels> parse_slice_labels(std::string_view json);

// Puts what there is into the pack. With all three it becomes 2.1-portable, and raw_data_path is cleared.
void attach_portable(PortableArtifacts artifacts, Datapack& pack);

// What portability asks beyond validate(pack): artifacts that are there parse; a 2.1-portable pack has all three and
// no raw_data_path. Errors: as the parsers, naming the first field that breaks it.
Status check_portable(const Datapack& pack);

}  // namespace drover::datapack
