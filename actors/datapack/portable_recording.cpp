#include "actors/datapack/portable_recording.hpp"

#include <utility>

namespace drover::datapack {
namespace {

// The end facts know the length of the episode; of a prefix it is the time of the last message.
class WithEnd final : public capture::RecordingVisitor {
 public:
  explicit WithEnd(PortableRecording& to) : to_(to) {}
  void image(double time_s, const capture::RecordedCamera& camera, const Bytes& jpeg) override {
    to_.image(time_s, camera, jpeg);
  }
  void objects(double time_s, std::span<const capture::RecordedFrame> frames) override { to_.objects(time_s, frames); }
  void sense(double time_s, const capture::RecordedSense& sense) override { to_.sense(time_s, sense); }
  void end(const capture::RecordingEnd& end) override { duration_s = end.duration_s; }

  double duration_s = 0;

 private:
  PortableRecording& to_;
};

}  // namespace

Result<std::unique_ptr<PortableRecording>> PortableRecording::make(const PortableOptions& options) {
  DROVER_ASSIGN(auto builder, PortableBuilder::make(options));
  return std::unique_ptr<PortableRecording>(new PortableRecording(std::move(builder)));
}

void PortableRecording::add(const PoseSample& pose) {
  if (!builder_.add_pose(pose)) ++dropped_;
}

void PortableRecording::image(double time_s, const capture::RecordedCamera& camera, const Bytes& jpeg) {
  if (!builder_.wants_frame(time_s, camera.name)) return;
  const bool taken =
      decoder_.decode(jpeg, picture_) && builder_.add_frame({time_s, camera.name, picture_.width, picture_.height,
                                                             std::span<const uint8_t>(picture_.rgb)});
  if (!taken) ++dropped_;
}

void PortableRecording::objects(double time_s, std::span<const capture::RecordedFrame> frames) {
  for (const capture::RecordedFrame& f : frames)
    add({time_s, f.name, f.pose.position_m, f.pose.rotation, f.occluded, f.is_object});
}

void PortableRecording::sense(double time_s, const capture::RecordedSense& sense) {
  add({time_s, "tool", sense.tool.position_m, sense.tool.rotation, 0, false});
}

Result<PortableArtifacts> portable_of_recording(const std::shared_ptr<const mcap::Source>& file,
                                                const PortableOptions& options) {
  DROVER_ASSIGN(const auto material, PortableRecording::make(options));
  WithEnd visitor(*material);
  DROVER_ASSIGN(const auto report, capture::read_recording(file, visitor));
  const double duration_s = report.ended ? visitor.duration_s : report.last_time_s;
  if (!(duration_s > 0)) return PortableArtifacts{};
  return material->finish(duration_s);
}

std::string missing_material(const PortableArtifacts& artifacts) {
  std::string out;
  const auto lacks = [&](const std::string& text, const char* what) {
    if (text.empty()) out.append(out.empty() ? "" : ", ").append(what);
  };
  lacks(artifacts.rgb_features_json, "no camera frames");
  lacks(artifacts.scene_tracks_json, "no poses");
  if (!artifacts.scene_tracks_json.empty()) lacks(artifacts.slice_labels_json, "no objects");
  return out;
}

}  // namespace drover::datapack
