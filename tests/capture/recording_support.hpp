// A made-up recording whose every value is known, and what a reader gave of it.
#pragma once

#include <string>
#include <vector>

#include "actors/capture/recorder.hpp"
#include "actors/capture/recording_reader.hpp"

namespace drover::capture::test {

struct SampleOptions {
  uint64_t seed = 1;
  double duration_s = 4;
  bool with_end = true;
  bool complete = true;
};

// Everything that was told, in the order of telling.
struct Told {
  RecordingStart start;
  std::vector<std::pair<double, std::vector<std::vector<double>>>> joints;  // position, velocity, effort, target
  std::vector<std::pair<double, std::string>> images;                       // JPEG bytes
  std::vector<RecordedEvent> events;
  std::vector<RecordedSkill> skills;
  std::vector<std::pair<double, RecordedEnergy>> energy;
  size_t object_samples = 0;
  size_t sense_samples = 0;
  size_t contact_samples = 0;
  RecordingEnd end;
};

// 25 Hz, one camera of 32 x 32 pixels, seven joints, two objects, three skills.
std::string sample_recording(const SampleOptions& options = {}, Told* told = nullptr);

// Keeps what it is given.
class Keeper final : public RecordingVisitor {
 public:
  void start(const RecordingStart& v) override { told.start = v; }
  void joints(double time_s, const JointSample& v) override;
  void image(double time_s, const RecordedCamera& camera, const Bytes& jpeg) override;
  void objects(double time_s, std::span<const RecordedFrame> frames) override;
  void sense(double, const RecordedSense&) override { ++told.sense_samples; }
  void contacts(double, std::span<const RecordedContact>) override { ++told.contact_samples; }
  void event(const RecordedEvent& v) override { told.events.push_back(v); }
  void skill_end(const RecordedSkill& v) override { told.skills.push_back(v); }
  void energy(double time_s, const RecordedEnergy& v) override { told.energy.emplace_back(time_s, v); }
  void end(const RecordingEnd& v) override { told.end = v; }
  Told told;
};

}  // namespace drover::capture::test
