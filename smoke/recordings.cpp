#include "smoke/recordings.hpp"

#include <algorithm>
#include <deque>

#include "actors/capture/recording_reader.hpp"
#include "actors/datapack/skills.hpp"

namespace drover::smoke {
namespace {

// Takes what the report needs. Pictures: all are kept while reading (a smoke episode has a few dozen, small ones).
class Reading final : public capture::RecordingVisitor {
 public:
  explicit Reading(WorldEpisode& out) : out_(out) {}

  void start(const capture::RecordingStart& start) override {
    out_.seed = start.condition.seed;
    out_.set = start.condition.set;
    out_.choices = start.condition.choices;
    for (const auto& joint : start.joints) joints_.push_back(joint.name);
  }
  void image(double time_s, const capture::RecordedCamera& camera, const Bytes& jpeg) override {
    if (camera_.empty()) camera_ = camera.name;
    if (camera.name != camera_) return;
    ++out_.pictures_in_all;
    if (pictures_.size() < pictures_max) pictures_.emplace_back(time_s, jpeg);
  }
  void event(const capture::RecordedEvent&) override { ++out_.events; }
  void skill_end(const capture::RecordedSkill&) override { ++out_.skills; }
  void energy(double, const capture::RecordedEnergy& energy) override { energy_ = energy; }
  void end(const capture::RecordingEnd& end) override {
    out_.ended = true;
    out_.complete = end.complete;
    out_.kind = end.complete ? end.template_name : "";
    out_.reason = end.complete ? end.failure_reason : end.stop_reason;
    out_.hash = end.state_hash;
    end_s_ = end.duration_s;
  }

  void finish(const capture::RecordingReport& report) {
    out_.duration_s = out_.ended ? end_s_ : report.last_time_s;
    out_.work_J = energy_.total.mechanical;
    for (size_t s = 0; s < energy_.skill_ids.size(); ++s)
      for (size_t j = 0; j < joints_.size(); ++j) add_cell(energy_.skill_ids[s], j, s * joints_.size() + j);
    choose_pictures();
  }

 private:
  static constexpr size_t pictures_max = 2'000;

  void add_cell(int64_t skill, size_t joint, size_t cell) {
    if (cell >= energy_.cells.size()) return;
    const std::string_view name = datapack::skill_name(skill);
    out_.work_by_joint_J[joints_[joint]][name.empty() ? "no skill" : std::string(name)] +=
        energy_.cells[cell].mechanical;
  }

  void choose_pictures() {
    const size_t count = std::min(moments_max, pictures_.size());
    for (size_t i = 0; i < count; ++i) {
      const size_t at = count == 1 ? 0 : i * (pictures_.size() - 1) / (count - 1);
      out_.pictures.push_back({pictures_[at].first, std::string(pictures_[at].second.text())});
    }
  }

  WorldEpisode& out_;
  std::vector<std::string> joints_;
  std::string camera_;
  std::vector<std::pair<double, Bytes>> pictures_;
  capture::RecordedEnergy energy_;
  double end_s_ = 0;
};

Result<Bytes> read_blob(const storage::Blobs& blobs, const storage::ReadTxn& txn, const BlobRef& blob) {
  std::string content;
  content.reserve(blob.size_bytes);
  DROVER_TRY(blobs.stream_in(txn, blob, [&](ByteView piece) -> Status {
    content.append(as_text(piece));
    return {};
  }));
  return Bytes::copy_of(content);
}

}  // namespace

bool is_world_episode(const Episode& episode) {
  return episode.source_kind.starts_with("world_");
}

Result<WorldEpisode> read_world_episode(const storage::Blobs& blobs, const storage::ReadTxn& txn,
                                        const Episode& episode) {
  WorldEpisode out;
  out.robot = episode.robot;
  out.episode_id = episode.episode_id;
  out.recording = episode.source_name;
  if (episode.blobs.empty()) return fail(Errc::not_found, episode.episode_id, "has no raw data");
  DROVER_ASSIGN(const Bytes raw, read_blob(blobs, txn, episode.blobs.front()));
  Reading reading(out);
  DROVER_ASSIGN(const auto report, capture::read_recording(mcap::memory_source(raw), reading));
  reading.finish(report);
  if (!out.complete && out.reason.empty()) out.reason = episode.notes.empty() ? "it has no end" : episode.notes.front();
  return out;
}

void add_pack(const Datapack& pack, WorldEpisode& episode) {
  episode.packed = true;
  episode.pack_J = pack.energy.total_Wh * 3600;
  episode.delta_J = pack.attribution.delta_J;
  episode.schema_version = pack.schema_version;
}

}  // namespace drover::smoke
