// drover episodes show, export and render over a recording, as an operator meets them.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "actors/capture/source.hpp"
#include "actors/capture/value.hpp"
#include "actors/sync/robot_store.hpp"
#include "messages/record.hpp"
#include "storage/blobs.hpp"
#include "tests/capture/recording_support.hpp"
#include "tests/nodes/program.hpp"
#include "tests/nodes/temp.hpp"

using namespace drover;
using namespace drover::test;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

// A robot's store with one captured recording. Gives the episode's id.
std::string make_robot_store(const std::string& path, const std::string& recording) {
  auto source = must(capture::open_log("e1.mcap", mcap::memory_source(Bytes::copy_of(recording)), {},
                                       capture::CaptureOptions{"robot-1"}));
  const auto captured = must(source->next());
  REQUIRE(captured);
  const BlobRef blob = storage::describe_blob(captured->slice_name, captured->slice_media_type, captured->slice);
  const datapack::BaselineState none;
  const auto valued =
      must(capture::value_episode(*captured, {blob}, {datapack::BaselineRules{}.find("drawer_vase", ""), none}, {}));
  sync::RobotStoreOptions options;
  options.path = path;
  options.robot = "robot-1";
  options.incarnation = 5;
  options.sync = storage::Sync::nosync;
  auto store = must(sync::RobotStore::open(options));
  sync::StoreCapture capture;
  capture.records.push_back({RecordKind::episode, 1, encode(valued.episode)});
  capture.records.push_back({RecordKind::datapack, 1, encode(valued.pack)});
  for (size_t i = 0; i < blob.chunks.size(); ++i)
    capture.chunks.push_back({blob.chunks[i].hash, Bytes::copy_of(storage::chunk_of(captured->slice, i)), 1, "e"});
  must(store.store(capture, 1));
  return valued.episode.episode_id;
}

size_t lines(const std::string& text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

TEST_CASE("nodes/episodes: a recording is shown with its skills and energy, and exported in every form") {
  const TempDir dir;
  capture::test::Told told;
  const std::string recording = capture::test::sample_recording({}, &told);
  const std::string id = make_robot_store(dir.file("store"), recording);
  const std::string where = id + " --store " + dir.file("store");

  const Ran shown = drover_run("episodes show robot-1 " + where);
  CHECK(shown.code == 0);
  for (const char* text : {"conditions hard", "template   recovered", "GRASP_HANDLE", "recovery", "energy ", "shoulder",
                           "front: 51 frames", "j7.position", "drawer_friction_N 7.5"})
    CHECK_MESSAGE(has(shown, text), text);

  fs::create_directories(dir.file("out"));
  CHECK(drover_run("episodes export robot-1 " + where + " --out " + dir.file("out")).code == 0);
  CHECK(read_text(dir.file("out/" + id + ".mcap")) == recording);
  CHECK(drover_run("episodes export robot-1 " + where + " --format mcap --out " + dir.file("a.mcap")).code == 0);
  CHECK(read_text(dir.file("a.mcap")) == recording);
  CHECK(drover_run("episodes export robot-1 " + where + " --format mcap --out " + dir.file("a.mcap")).code == 1);

  CHECK(drover_run("episodes export robot-1 " + where + " --format rosbag2 --out " + dir.file("bag")).code == 0);
  CHECK(read_text(dir.file("bag/" + id + "_0.mcap")) == recording);
  const std::string metadata = read_text(dir.file("bag/metadata.yaml"));
  for (const char* text : {"version: 5", "storage_identifier: mcap", "name: \"/joint_states\"",
                           "sensor_msgs/msg/JointState", "nanoseconds_since_epoch: 1750000000123456789"})
    CHECK_MESSAGE(metadata.find(text) != std::string::npos, text);

  const Ran rows = drover_run("episodes export robot-1 " + where + " --format csv --json --out " + dir.file("a.csv"));
  CHECK(rows.code == 0);
  CHECK(json::parse(rows.text)["rows"] == told.joints.size());
  const std::string csv = read_text(dir.file("a.csv"));
  CHECK(lines(csv) == told.joints.size() + 1);
  CHECK(csv.starts_with("time_s,unix_ns,skill_id,skill,mechanical_J,copper_J,j1.position_rad"));

  const Ran frames = drover_run("episodes export robot-1 " + where + " --format frames --out " + dir.file("frames"));
  CHECK(frames.code == 0);
  CHECK(read_text(dir.file("frames/front/000003.jpg")) == told.images[3].second);
  CHECK(lines(read_text(dir.file("frames/frames.csv"))) == told.images.size() + 1);
}

TEST_CASE("nodes/episodes: a recording becomes a video where that program is installed") {
  const TempDir dir;
  const std::string recording = dir.write("e1.mcap", capture::test::sample_recording());
  const Ran made = drover_run("episodes render --json --file " + recording + " --out " + dir.file("v.mp4"));
  if (made.code != 0 && has(made, "is not installed")) {
    MESSAGE("skipped: drover-render was not built");
    return;
  }
  CHECK(made.code == 0);
  const json about = json::parse(made.text);
  CHECK(about["frames"] == 51);
  CHECK(about["height"] == 480);
  CHECK(about["complete"] == true);
  CHECK(fs::file_size(dir.file("v.mp4")) == about["size_bytes"]);
  CHECK(drover_run("episodes render --file " + recording + " --out " + dir.file("v.mp4")).code == 1);  // is there
  CHECK(drover_run("episodes render --file " + recording + " --camera no --out " + dir.file("w.mp4")).code == 1);
  CHECK(drover_run("episodes render --out " + dir.file("w.mp4")).code == 2);
  CHECK(!fs::exists(dir.file("w.mp4")));
}
