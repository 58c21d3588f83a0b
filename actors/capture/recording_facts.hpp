// From what a recording holds to the facts of its episode: the middle step of RecordingSource. Pure.
//
// Invariants: energy is added up from the (skill, joint) cells in the order the meter adds it, so that the sums have
// the same bits; a recording without its end gives what was known at the last message, labelled incomplete.
#pragma once

#include <optional>

#include "actors/capture/captured.hpp"
#include "actors/capture/recording_reader.hpp"
#include "actors/datapack/portable_recording.hpp"

namespace drover::capture {

class RecordingFacts final : public RecordingVisitor {
 public:
  RecordingFacts();

  void start(const RecordingStart& start) override;
  void joints(double time_s, const JointSample& sample) override;
  void image(double time_s, const RecordedCamera& camera, const Bytes& jpeg) override;
  void objects(double time_s, std::span<const RecordedFrame> frames) override;
  void sense(double time_s, const RecordedSense& sense) override;
  void event(const RecordedEvent& event) override;
  void skill_begin(const RecordedSkill& skill) override;
  void skill_end(const RecordedSkill& skill) override;
  void energy(double time_s, const RecordedEnergy& energy) override;
  void end(const RecordingEnd& end) override;

  // The episode of a whole reading; without identity, robot and slice. Call once.
  Result<CapturedEpisode> episode(const RecordingReport& report);

 private:
  struct Statistic {
    uint64_t samples = 0;
    double minimum = 0, maximum = 0, mean = 0;
    void add(double value);
  };
  struct JointStatistics {
    Statistic position, velocity, effort;
  };

  double duration_s(const RecordingReport& report) const;
  bool complete() const { return end_ && end_->complete; }
  void note(std::string text);
  void write_events(CapturedEpisode& out);
  void write_steps(CapturedEpisode& out) const;
  void write_energy(CapturedEpisode& out) const;
  void write_streams(CapturedEpisode& out, const RecordingReport& report) const;
  void write_origin(CapturedEpisode& out) const;
  void write_portable(CapturedEpisode& out);
  std::string summary(const CapturedEpisode& out, const RecordingReport& report) const;
  std::string skill_name(int64_t id) const;

  RecordingStart start_;
  std::optional<RecordingEnd> end_;
  std::vector<RecordedEvent> events_;
  uint64_t events_dropped_ = 0;
  std::vector<RecordedSkill> skills_;
  std::optional<RecordedSkill> open_skill_;
  std::map<int64_t, std::string> skill_names_;
  RecordedEnergy energy_;
  std::vector<JointStatistics> joints_;
  uint64_t joint_samples_ = 0;
  std::unique_ptr<datapack::PortableRecording> portable_;
  std::vector<std::string> notes_;
};

}  // namespace drover::capture
