// Recorder: one episode, written while it happens, as one MCAP file of the `ros2` profile (RECORDING.md).
//
// Use: open, then what happens in any mixture and in time order, then finish. The first bytes in the sink say what the
// recording is; after that a chunk goes to the sink at least every flush_period_s of episode time, so that a process
// that dies loses at most that much, and what is there reads as a labelled prefix.
// Invariants: equal calls give equal bytes; log times never go back within a channel; memory is bounded by one chunk.
// After a sink error every call repeats it. Pure: no clock, no file of its own. Threads: a recorder belongs to one.
#pragma once

#include <memory>

#include "actors/capture/recording.hpp"
#include "messages/result.hpp"
#include "storage/mcap/io.hpp"

namespace drover::capture {

struct RecorderOptions {
  uint64_t chunk_size_bytes = 256u << 10;
  double flush_period_s = 0.5;
};

class Recorder {
 public:
  // `sink` must outlive the recorder. Errors: invalid_argument (start names no robot, world or joints, has too many or
  // doubled names, or a number that is not finite), the sink's.
  static Result<std::unique_ptr<Recorder>> open(mcap::Sink& sink, const RecordingStart& start,
                                                const RecorderOptions& options = {});
  ~Recorder();

  // Errors of all: invalid_argument (a size is wrong, a time or number is not finite or negative time), refused (after
  // finish), the sink's.
  Status joints(double time_s, const JointSample& sample);
  Status image(double time_s, std::string_view camera, ByteView jpeg);
  // All frames of the scene: links as transforms, objects also with their occlusion. At most 256.
  Status scene(double time_s, std::span<const RecordedFrame> frames);
  Status sense(double time_s, const RecordedSense& sense);
  // Nothing is written while nobody touches anybody; an empty list is written once. At most 256.
  Status contacts(double time_s, std::span<const RecordedContact> contacts);
  Status event(const RecordedEvent& event);
  Status skill_begin(const RecordedSkill& skill);
  Status skill_end(const RecordedSkill& skill);  // complete, with its start again
  // Cumulative; call it at least every 0.2 s of episode time. Gives the power topic as well.
  Status energy(double time_s, const RecordedEnergy& energy);
  // Writes the last energy and the end, closes the file. Syncing it is the owner's part (recording_file.hpp).
  Status finish(const RecordingEnd& end, const RecordedEnergy& energy);

  uint64_t message_count() const noexcept;
  uint64_t bytes_written() const noexcept;  // what the sink has taken

 private:
  class Impl;
  explicit Recorder(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace drover::capture
