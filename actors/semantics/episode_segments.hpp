// EpisodeSegments: what a robot's own segmenter found in one episode, and the record that carries it to the centre.
//
// The record is an Enrichment of the episode's datapack with source "robot/segmenter", journaled right before the
// datapack. SEGMENTS.md documents its JSON with an example.
// Invariants of what parse_segments() returned: those of segment.hpp (ids, order, contiguous, finite), at most
// `segments_max` of them, objects exist. Pure values and functions.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actors/semantics/pipeline.hpp"
#include "actors/semantics/rollout.hpp"
#include "actors/semantics/segment.hpp"
#include "messages/datapack.hpp"
#include "messages/result.hpp"

namespace drover::semantics {

inline constexpr std::string_view robot_segmenter_source = "robot/segmenter";
inline constexpr std::string_view segments_format = "drover.segments.v1";
inline constexpr size_t segments_max = 2048;            // of one record; an episode with more is cut there
inline constexpr size_t segments_bytes_max = 2u << 20;  // of a record's JSON, as accepted

struct EpisodeSegments {
  // The episode without its frames: id, task, robot, world, outcome, signals, rate and things of the scene.
  Rollout episode;
  uint64_t frames = 0;
  uint64_t dropped_frames = 0;  // not finite, or back in time
  uint64_t found = 0;           // segments, before the cut
  std::vector<Segment> segments;
  // Least distance of the tool to each thing of the scene during each segment; -1: not seen, or its own.
  std::vector<std::array<float, objects_max>> near_m;
  std::vector<std::string> words;  // short forms of the tags, as in enrichment records
  std::string tags_json = "{}";    // the tags themselves: OODTag and RecoveryTag, computed by the robot
};

std::string segments_json(const EpisodeSegments& value);
// Errors: corrupt (names the field), too_large, unsupported_version.
Result<EpisodeSegments> parse_segments(std::string_view json);

// What an episode says: doings as its robot's segments have them; identity, source and outcome are the datapack's.
Analysis analysis_of_segments(const Datapack& pack, const EpisodeSegments& found, const Stage2Pipeline& pipeline);

}  // namespace drover::semantics
