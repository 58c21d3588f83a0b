// PortableBuilder: poses and frames of one episode stream in, the artifacts of a portable datapack come out.
//
//   DROVER_ASSIGN(auto builder, PortableBuilder::make({}));
//   for every pose:   DROVER_TRY(builder.add_pose({t_s, "vase", position_m, rotation_wxyz, occluded, true}));
//   for every frame:  if (builder.wants_frame(t_s, "front")) DROVER_TRY(builder.add_frame({t_s, "front", w, h, rgb}));
//   DROVER_ASSIGN(auto artifacts, builder.finish(duration_s));
//   attach_portable(std::move(artifacts), pack);
//
// What is kept
// - Poses are put on a grid of pose_stride_s by linear interpolation (rotations: shortest way, normalised). Before its
//   first and behind its last sample a thing is where that sample says. Feed world poses, once per control step or only
//   when they change (then also just before the change).
// - Per frame_stride_s window the first frame of each camera is encoded (vision_rgb::deterministic_pool_v1);
// wants_frame
//   tells whether a frame is worth decoding.
// - Longer episodes get longer strides, not more bytes: where a bound of rows or text_max_bytes is met, strides double;
//   merged windows hold the mean over the pixels of their frames.
// - Labels come from the object tracks at the grid's stride (PORTABLE.md has the formulas).
//
// Invariants: memory is bounded by the options alone (a few MB); equal calls give equal text on every machine.
// Threads: one thread per object.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "actors/datapack/portable_artifacts.hpp"
#include "messages/result.hpp"

namespace drover::datapack {

struct PortableOptions {
  double pose_stride_s = 0.1;         // first stride of the tracks; 0.01 .. 60
  double frame_stride_s = 0.5;        // first stride of the features; 0.05 .. 60
  double slice_s = 2.0;               // length of the labelled slices; 0.1 .. 3600
  size_t text_max_bytes = 48u << 10;  // of the three artifacts together; 16 KiB .. 4 MiB
  std::string main_camera;            // first in rgb_features_v1; empty: the first that gave a frame
  double occluded_at = 0.5;           // occlusion_level from which a slice is occluded; 0 .. 1
  double dynamic_at = 0.1;            // motion_score from which it is dynamic; 0 .. 1
  double moving_m_per_s = 0.01;       // an object moves when it is faster than this
  double turning_rad_per_s = 0.1;     // or turns faster than this
};

struct PoseSample {
  double t_s = 0;  // since the episode's start, 0 .. 1e7
  std::string_view name;
  std::array<double, 3> position_m{};                 // world frame
  std::array<double, 4> rotation_wxyz{{1, 0, 0, 0}};  // any length but 0
  double occluded = 0;                                // 0..1
  bool is_object = true;                              // false: a part of the robot
};

struct FrameSample {
  double t_s = 0;
  std::string_view camera;
  uint32_t width = 0;            // 4..16384
  uint32_t height = 0;           // 4..16384
  std::span<const uint8_t> rgb;  // [height, width, 3], top row first
};

class PortableBuilder {
 public:
  static constexpr size_t tracks_max = 64;
  static constexpr size_t cameras_max = 4;
  static constexpr size_t name_max_bytes = 64;

  // Errors: invalid_argument (the option that is out of range), unavailable.
  static Result<PortableBuilder> make(const PortableOptions& options);
  PortableBuilder(PortableBuilder&&) noexcept;
  PortableBuilder& operator=(PortableBuilder&&) noexcept;
  ~PortableBuilder();

  // Errors, nothing is taken then: invalid_argument (a number that is not finite, a time before that name's last one,
  // an empty, too long or unprintable name), too_large (more than tracks_max names). A caller may go on.
  Status add_pose(const PoseSample& pose);

  // Whether add_frame would take a frame of that time.
  bool wants_frame(double t_s, std::string_view camera) const;
  // A frame that is not wanted is ignored. Errors, nothing is taken then: as above, and invalid_argument for a size out
  // of range, bytes that do not fit it, or another size than that camera's first frame; too_large (cameras_max).
  Status add_frame(const FrameSample& frame);

  // The artifacts; those without material are empty (labels need an object track). duration_s (over 0, at most 1e7) is
  // the episode's; what was fed from behind it is left out. Call once. Errors: invalid_argument (duration), too_large
  // (one row of all tracks alone is over text_max_bytes).
  Result<PortableArtifacts> finish(double duration_s);

 private:
  struct State;
  explicit PortableBuilder(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace drover::datapack
