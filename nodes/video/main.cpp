// drover episodes render: a recorded episode as a video.
#include <chrono>
#include <cstdio>
#include <optional>

#include "actors/capture/recording_reader.hpp"
#include "nodes/commands/command.hpp"
#include "nodes/commands/episode_files.hpp"
#include "nodes/commands/table.hpp"
#include "nodes/video/video.hpp"

namespace drover::nodes {
namespace {

constexpr const char* name = "drover episodes render";

struct RenderOptions {
  std::string robot, episode, file, out, camera;
  uint32_t scale = 0;  // 0: the smallest whole factor that makes the picture at least 480 pixels high
  int quality = 20;
};

// The frames of one camera, as they come.
class Renderer final : public capture::RecordingVisitor {
 public:
  explicit Renderer(const RenderOptions& options) : options_(options) {}

  void start(const capture::RecordingStart& start) override {
    for (const capture::RecordedCamera& camera : start.cameras)
      cameras_.append(cameras_.empty() ? "" : ", ").append(camera.name);
    if (camera_.empty())
      camera_ = !options_.camera.empty() ? options_.camera : start.cameras.empty() ? "" : start.cameras.front().name;
  }
  void image(double time_s, const capture::RecordedCamera& camera, const Bytes& jpeg) override {
    if (!status_ || camera.name != camera_) return;
    status_ = add(time_s, camera, jpeg);
  }
  void end(const capture::RecordingEnd& end) override { complete_ = end.complete; }

  Status finish() {
    DROVER_TRY(status_);
    if (writer_) return writer_->finish();
    if (cameras_.empty()) return fail(Errc::not_found, "camera", "the episode was recorded without cameras");
    return fail(Errc::not_found, camera_, "has no frames; cameras of the episode: " + cameras_);
  }
  const video::VideoOptions& video() const { return video_; }
  uint64_t frames() const { return writer_ ? writer_->frames() : 0; }
  uint64_t unreadable() const { return unreadable_; }
  double length_s() const { return last_s_; }
  bool complete() const { return complete_; }
  const std::string& camera() const { return camera_; }

 private:
  Status add(double time_s, const capture::RecordedCamera& camera, const Bytes& jpeg) {
    if (!decoder_.decode(jpeg, picture_)) {
      ++unreadable_;  // a gap in the video, and said so
      return {};
    }
    if (!writer_) {
      video_.width = picture_.width;
      video_.height = picture_.height;
      video_.scale = options_.scale > 0 ? options_.scale : std::min(16u, (479 + picture_.height) / picture_.height);
      video_.rate_hz = camera.rate_hz > 0 ? camera.rate_hz : 25;
      video_.quality = options_.quality;
      DROVER_ASSIGN(writer_, video::VideoWriter::create(options_.out, video_));
    }
    last_s_ = time_s;
    return writer_->add(time_s, picture_);
  }

  const RenderOptions& options_;
  video::VideoOptions video_;
  std::unique_ptr<video::VideoWriter> writer_;
  capture::JpegDecoder decoder_;
  capture::RgbImage picture_;
  std::string camera_, cameras_;
  Status status_;
  uint64_t unreadable_ = 0;
  double last_s_ = 0;
  bool complete_ = false;
};

Result<std::shared_ptr<const mcap::Source>> open_recording(const AccessOptions& access, const RenderOptions& options) {
  if (!options.file.empty()) return mcap::file_source(options.file);
  DROVER_ASSIGN(const LoadedRecording loaded, load_recording(access, options.robot, options.episode));
  return mcap::memory_source(loaded.file);
}

void tell(const AccessOptions& access, const RenderOptions& options, const Renderer& done) {
  std::error_code ignored;
  const uint64_t size = std::filesystem::file_size(options.out, ignored);
  const video::VideoOptions& v = done.video();
  const uint32_t width = (v.width * v.scale) & ~1u, height = (v.height * v.scale) & ~1u;
  if (access.json) {
    print_text(Json{{"file", options.out},
                    {"frames", done.frames()},
                    {"rate_hz", v.rate_hz},
                    {"width", width},
                    {"height", height},
                    {"size_bytes", size},
                    {"camera", done.camera()},
                    {"length_s", done.length_s()},
                    {"complete", done.complete()},
                    {"unreadable", done.unreadable()}}
                   .dump() +
               "\n");
    return;
  }
  std::printf("%s: %s frames of camera %s at %s Hz, %u x %u, %s, %s%s\n", options.out.c_str(),
              human_count(done.frames()).c_str(), plain_text(done.camera()).c_str(), short_number(v.rate_hz).c_str(),
              width, height, human_duration(static_cast<int64_t>(done.length_s() * 1e9)).c_str(),
              human_bytes(size).c_str(), done.complete() ? "" : " (a prefix: the recording was cut short)");
  if (done.unreadable() > 0)
    std::fprintf(stderr, "%s: %s frames could not be decoded and are left out\n", name,
                 human_count(done.unreadable()).c_str());
}

int render(const AccessOptions& access, const RenderOptions& options) {
  const auto file = open_recording(access, options);
  if (!file) return report_failure(name, file.error());
  Renderer renderer(options);
  const auto report = capture::read_recording(*file, renderer);
  if (!report) return report_failure(name, report.error());
  if (const Status done = renderer.finish(); !done) return report_failure(name, done.error());
  tell(access, options, renderer);
  return exit_ok;
}

int command(const Arguments& arguments) {
  CLI::App app("Make a video (H.264 in MP4) of a recorded episode.", name);
  app.footer(
      "Examples:\n"
      "  drover episodes render robot-07 EPISODE --store central --out episode.mp4\n"
      "  drover episodes render --file recording.mcap --out episode.mp4 --camera front --scale 4\n");
  AccessOptions access;
  RenderOptions options;
  add_access_options(app, access, {.remote = false});
  app.add_option("ROBOT", options.robot, "its robot");
  app.add_option("EPISODE", options.episode, "its id");
  app.add_option("--file", options.file, "a recording (MCAP) instead of an episode of a store")
      ->check(CLI::ExistingFile);
  app.add_option("--out", options.out, "the video, a new file")->required();
  app.add_option("--camera", options.camera, "of this camera (default: the first)");
  app.add_option("--scale", options.scale, "enlarge pictures by this whole factor (default: to at least 480 lines)")
      ->check(CLI::Range(1, 16));
  app.add_option("--quality", options.quality, "constant rate factor, smaller is better")
      ->check(CLI::Range(0, 51))
      ->capture_default_str();
  if (const auto code = parse_arguments(app, arguments)) return *code;
  if (options.file.empty() && (options.robot.empty() || options.episode.empty()))
    return report_failure(name, {Errc::invalid_argument, "arguments", "ROBOT and EPISODE, or --file"}, exit_usage);
  return render(access, options);
}

}  // namespace
}  // namespace drover::nodes

int main(int argc, char** argv) {
  return drover::nodes::command({argv + 1, argv + argc});
}
