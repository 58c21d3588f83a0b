// Reading a recording back: everything a Recorder was told, in file order, whole or up to the damage.
//
// Outside bytes never crash: a message that does not decode is counted and left out, damage ends the reading and is
// reported. Pure. Threads: none of its own; sources may be shared.
#pragma once

#include <optional>
#include <string>

#include "actors/capture/recording.hpp"
#include "messages/result.hpp"
#include "storage/mcap/reader.hpp"

namespace drover::capture {

// Whether the file says of itself that it is a recording: by its header, or by a topic /drover/episode among its first
// records. What is left of a recording that was cut early is still one.
bool is_recording(const mcap::Source& file);

// Receives what the file holds. Spans and views live for the call only. Override what you need.
class RecordingVisitor {
 public:
  virtual ~RecordingVisitor() = default;
  virtual void start(const RecordingStart&) {}
  virtual void joints(double /*time_s*/, const JointSample&) {}
  virtual void image(double /*time_s*/, const RecordedCamera&, const Bytes& /*jpeg*/) {}
  // Objects only (drawer, handle, vase), in the world frame; the robot's links follow from the joints.
  virtual void objects(double /*time_s*/, std::span<const RecordedFrame>) {}
  virtual void sense(double /*time_s*/, const RecordedSense&) {}
  virtual void contacts(double /*time_s*/, std::span<const RecordedContact>) {}
  virtual void event(const RecordedEvent&) {}
  virtual void skill_begin(const RecordedSkill&) {}
  virtual void skill_end(const RecordedSkill&) {}
  virtual void energy(double /*time_s*/, const RecordedEnergy&) {}
  virtual void end(const RecordingEnd&) {}
};

struct RecordingReport {
  uint64_t messages = 0;    // of all topics
  uint64_t unreadable = 0;  // messages that did not decode
  std::map<std::string, uint64_t> per_topic;
  double last_time_s = 0;  // of any message
  bool ended = false;      // the end facts are there
  std::optional<mcap::Damage> damage;
};

// Errors: corrupt (no start facts are readable: nothing else can be understood), unsupported_version, io.
Result<RecordingReport> read_recording(const std::shared_ptr<const mcap::Source>& file, RecordingVisitor& visitor);

}  // namespace drover::capture
