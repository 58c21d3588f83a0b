// Logs and recordings as rollouts: the raw slice of a captured episode, read with its mapping, becomes frames. Pure.
//
// What a log has is what the frames have: joint_{i}.position/.velocity/.moment/.torque, tcp.force_{i}, gripper.width,
// supply power, and the events protective_stop and grip_lost as alarms. What it has not is missing from the signals; a
// blank cell holds its last value. Rows without a readable time, or not after the one before, are left out.
#pragma once

#include <memory>
#include <optional>

#include "actors/capture/captured.hpp"
#include "actors/capture/listener.hpp"
#include "actors/capture/mapping.hpp"
#include "actors/capture/recording_reader.hpp"
#include "actors/semantics/rollout.hpp"
#include "messages/result.hpp"

namespace drover::semantics {

// Of a log in CSV or MCAP form. Errors: invalid_argument (the episode is a recording), not_found (no clock column), and
// those of the CSV reader.
Result<Rollout> rollout_from_log(const capture::CapturedEpisode& episode, const capture::Mapping& mapping);
// Of MCAP: every topic with joint states of ROS 2, velocities from positions where it has none; forces of wrench
// topics; the mapping's alarms. No frames where there are no joint states; what is damaged ends there.
Result<Rollout> rollout_from_mcap(const capture::CapturedEpisode& episode, const capture::Mapping& mapping);

// A recording (actors/capture/RECORDING.md): its joints, senses and sights. A cut recording gives the frames before the
// cut. Errors: those of read_recording; invalid_argument (more arm joints than a frame has).
Result<Rollout> rollout_from_recording(const std::shared_ptr<const mcap::Source>& file);

// The same frames, to the bit, of what is decoded anyway: it hears a source (CaptureOptions::listener).
class FrameListener final : public capture::SourceListener {
 public:
  FrameListener();
  ~FrameListener() override;
  void begin(const Hash& source_hash, const std::shared_ptr<const capture::Mapping>& mapping) override;
  capture::RecordingVisitor* recording() override;
  void header(std::span<const std::string> names) override;
  void row(const capture::HeardRow& row) override;
  void cut(uint64_t ordinal, bool whole) override;

  // Of the episode that was cut last, once; nothing: it was not heard whole, its slice has to be read.
  std::optional<Rollout> take(const capture::CapturedEpisode& episode, const capture::Mapping& mapping);

 private:
  struct Heard;
  struct Done {
    uint64_t ordinal = 0;
    Rollout rollout;
  };
  std::unique_ptr<Heard> heard_;
  std::optional<Done> done_;
};

}  // namespace drover::semantics
