// drover packs export --portable, filters and narration, as an operator meets them.
#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "actors/capture/jpeg.hpp"
#include "actors/capture/recorder.hpp"
#include "actors/datapack/portable_recording.hpp"
#include "actors/sync/robot_store.hpp"
#include "storage/datapack_json.hpp"
#include "tests/nodes/program.hpp"
#include "tests/nodes/temp.hpp"

using namespace drover;
using namespace drover::test;
using nlohmann::json;

namespace {

// Two seconds with a drawer that moves and a camera; without `camera`, the drawer alone.
Bytes recording(bool camera = true, uint8_t shade = 90) {
  capture::RecordingStart start;
  start.robot = "robot-1";
  start.task_name = "drawer_vase";
  start.world = "drawer_vase";
  start.engine = "mujoco";
  start.start_unix_ns = 1'700'000'000'000'000'000;
  start.joints.push_back({"shoulder", "upper_arm", "", 0.1, false});
  if (camera) {
    start.cameras.emplace_back();
    start.cameras.back().name = "front";
    start.cameras.back().width = start.cameras.back().height = 16;
  }
  mcap::MemorySink sink;
  const auto recorder = must(capture::Recorder::open(sink, start));
  capture::JpegEncoder encoder;
  const std::vector<uint8_t> rgb(16 * 16 * 3, shade);
  for (int i = 0; i <= 50; ++i) {
    const double t = 0.04 * i;
    capture::RecordedFrame drawer;
    drawer.name = "drawer";
    drawer.pose.position_m = {0.5, 0.1 * t, 0.7};
    drawer.is_object = true;
    REQUIRE(recorder->scene(t, std::span(&drawer, 1)));
    if (camera) REQUIRE(recorder->image(t, "front", must(encoder.encode(rgb, 16, 16))));
  }
  capture::RecordingEnd end;
  end.duration_s = 2;
  REQUIRE(recorder->finish(end, {}));
  return Bytes::copy_of(sink.content());
}

struct Case {
  std::string id;
  std::string file;
  Bytes content;
  bool keep_chunks = true;
};

Datapack pack_of(const std::string& id, uint64_t seed) {
  Rng rng(seed);
  Datapack pack = random_datapack(rng);
  pack.schema_version = schema_version_energy;
  pack.pack_id = "dp-" + id;
  pack.task_name = "drawer_vase";
  pack.provenance.robot = "robot-1";
  pack.provenance.episode_id = id;
  pack.raw_data_path.clear();
  pack.scene_tracks_json.clear();
  pack.rgb_features_json.clear();
  pack.slice_labels_json.clear();
  pack.sima_annotation.reset();
  return pack;
}

// A robot's store with one episode and pack per case, and a pack that is portable already.
void make_robot_store(const std::string& path, const std::vector<Case>& cases) {
  sync::RobotStoreOptions options;
  options.path = path;
  options.robot = "robot-1";
  options.incarnation = 5;
  options.sync = storage::Sync::nosync;
  auto store = must(sync::RobotStore::open(options));
  Rng rng(3);
  for (size_t n = 0; n < cases.size(); ++n) {
    const Case& one = cases[n];
    Episode episode = random_episode(rng);
    episode.robot = "robot-1";
    episode.episode_id = one.id;
    episode.blobs = {storage::describe_blob(one.file, "", one.content.view())};
    sync::StoreCapture capture;
    capture.records.push_back({RecordKind::episode, 1, encode(episode)});
    capture.records.push_back({RecordKind::datapack, 1, encode(pack_of(one.id, n))});
    const auto& chunks = episode.blobs[0].chunks;
    for (size_t i = 0; one.keep_chunks && i < chunks.size(); ++i)
      capture.chunks.push_back({chunks[i].hash, Bytes::copy_of(storage::chunk_of(one.content.view(), i)), 1, one.id});
    must(store.store(capture, 1));
  }
  Datapack embedded = pack_of("embedded", 100);
  make_portable(embedded, 7);
  Datapack lost = pack_of("lost", 101);
  sync::StoreCapture capture;
  for (const Datapack& pack : {embedded, lost}) capture.records.push_back({RecordKind::datapack, 1, encode(pack)});
  must(store.store(capture, 1));
}

std::map<std::string, std::string> lines_by_pack(const std::string& text) {
  std::map<std::string, std::string> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) out[json::parse(line)["pack_id"]] = line;
  return out;
}

}  // namespace

TEST_CASE("nodes/packs: portable packs from what a store has, and what could not be made portable is counted") {
  const TempDir dir;
  make_robot_store(dir.file("r"), {{"recorded", "a.mcap", recording()},
                                   {"log", "b.csv", Bytes::copy_of("t,x\n0,1\n")},
                                   {"gone", "c.mcap", recording(true, 30), false},
                                   {"blind", "d.mcap", recording(false)},
                                   {"noise", "e.mcap", Bytes::copy_of("\x89MCAP0\r\nnothing")}});
  const std::string at = " --store " + dir.file("r");
  const Ran ran = drover_run("packs export --portable --out " + dir.file("p.jsonl") + at);
  CHECK_MESSAGE(ran.code == 0, ran.text);
  for (const char* said : {"a plain log: no camera frames, no poses", "its recording is not (all) in this store",
                           "its recording has no camera frames", "its episode is not in this store", "--with-plain"})
    CHECK_MESSAGE(has(ran, said), ran.text);
  const auto lines = lines_by_pack(read_text(dir.file("p.jsonl")));
  REQUIRE(lines.size() == 2);
  for (const auto& [id, line] : lines) {
    CHECK(line.find(R"("schema_version":"2.1-portable")") != std::string::npos);
    CHECK(line.find(R"("raw_data_path":null)") != std::string::npos);
    CHECK(datapack::check_portable(must(storage::datapack_from_json(line))));
  }
  const auto made = must(storage::datapack_from_json(lines.at("dp-recorded")));
  const auto features = must(datapack::parse_rgb_features(made.rgb_features_json));
  CHECK(features.cameras[0].features[0] == doctest::Approx(90 / 255.0).epsilon(0.02));
  CHECK(must(datapack::parse_slice_labels(made.slice_labels_json)).whole.motion_score == 1);
  CHECK(lines.at("dp-embedded").find(R"("stranger":{"n":0.10})") != std::string::npos);

  const json report =
      json::parse(drover_run("packs export --portable --with-plain --json --out " + dir.file("all.jsonl") + at).text);
  CHECK(report["exported"] == 7);
  CHECK(report["tasks"][0]["embedded"] == 1);
  CHECK(report["tasks"][0]["from_recording"] == 1);
  CHECK(report["tasks"][0]["plain"] == 5);
  CHECK(report["lacking"]["a plain log: no camera frames, no poses"] == 2);
  const auto all = lines_by_pack(read_text(dir.file("all.jsonl")));
  CHECK(all.at("dp-log").find("2.0-energy") != std::string::npos);
  CHECK(all.at("dp-recorded") == lines.at("dp-recorded"));
  CHECK(drover_run("packs export --portable --robot robot-9 --out " + dir.file("none.jsonl") + at).code == 0);
}

TEST_CASE("nodes/packs: a portable pack is worth the same where the raw data never was") {
  const TempDir dir;
  make_robot_store(dir.file("r"), {{"recorded", "a.mcap", recording()}});
  REQUIRE(drover_run("packs export --portable --store " + dir.file("r") + " " + dir.file("p.jsonl")).code == 0);
  make_store(dir.file("c"), {});
  const std::string at = " --store " + dir.file("c");
  CHECK(has(drover_run("packs import" + at + " " + dir.file("p.jsonl")), "imported 2,"));
  const json found = json::parse(drover_run("packs query --task drawer_vase --json --full" + at).text);
  REQUIRE(found["packs"].size() == 2);
  for (const json& pack : found["packs"]) {
    CHECK(pack["raw_data_path"].is_null());
    const auto tracks = must(datapack::parse_scene_tracks(pack["scene_tracks_v1"].dump()));
    const auto features = must(datapack::parse_rgb_features(pack["rgb_features_v1"].dump()));
    CHECK(tracks.tracks.size() == 1);
    CHECK(features.cameras[0].features.size() >= 64);
  }
  const Ran shown = drover_run("packs show dp-embedded" + at);
  CHECK_MESSAGE(has(shown, "11 poses each up to 1.0 s; objects: vase; robot: none"), shown.text);
  CHECK(has(shown, "64 numbers every 0.50 s; 1 rows of camera front"));
  CHECK(has(shown, "occlusion 0.25, motion 1.00 (dynamic); 1 slices"));
  CHECK(json::parse(drover_run("packs show --json dp-embedded" + at).text)["pack"]["rgb_features_v1"]["dim"] == 64);
  REQUIRE(drover_run("packs export --portable" + at + " " + dir.file("q.jsonl")).code == 0);
  CHECK(read_text(dir.file("p.jsonl")) == read_text(dir.file("q.jsonl")));
  CHECK(has(drover_run("packs import" + at + " " + dir.file("q.jsonl")), "imported 0, known before 2"));
}

TEST_CASE("nodes/packs: a portable pack that breaks its promise is refused by name") {
  const TempDir dir;
  make_store(dir.file("c"), {});
  Datapack pack = pack_of("p", 1);
  make_portable(pack, 1);
  const std::string line = must(storage::datapack_to_json(pack));
  const auto refused = [&](const std::string& pointer, const json& value) {
    json broken = json::parse(line);
    broken[json::json_pointer(pointer)] = value;
    const Ran ran = drover_run("packs import --store " + dir.file("c") + " " + dir.write("in", broken.dump() + "\n"));
    return ran.code == 1 ? ran.text : "accepted";
  };
  const auto says = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  CHECK(says(refused("/rgb_features_v1/features", "..."), "rgb_features_v1.features: expected an array"));
  CHECK(says(refused("/scene_tracks_v1/scene_tracks_v1~1version/0", "v9"), "scene_tracks_v1/version"));
  CHECK(says(refused("/slice_labels_v1/is_static", true), "slice_labels_v1"));
  CHECK(says(refused("/slice_labels_v1", nullptr), "slice_labels_v1: is missing"));
  CHECK(says(refused("/raw_data_path", "/data/x.mcap"), "raw_data_path"));
  CHECK(refused("/novel", 1) == "accepted");
}

TEST_CASE("nodes/packs: export takes the filters of query, and pages through packs of one moment") {
  const TempDir dir;
  Rng rng(5);
  std::vector<Datapack> packs;
  for (size_t i = 0; i < 1500; ++i) {
    packs.push_back(random_datapack(rng));
    packs.back().schema_version = schema_version_energy;
    packs.back().provenance.start_unix_ns = i < 700 ? 1'000 : static_cast<int64_t>(i / 3) * 1'000'000;
    packs.back().provenance.end_unix_ns = 2'000'000'000;
  }
  make_store(dir.file("s"), packs);
  const std::string at = " --store " + dir.file("s");
  const auto exported = [&](const std::string& words) {
    std::vector<Datapack> out;
    std::istringstream lines(drover_run("packs export " + words + at).text);
    for (std::string line; std::getline(lines, line);) out.push_back(must(storage::datapack_from_json(line)));
    return out;
  };
  const auto expected = [&](auto keep) {
    std::set<std::string> out;
    for (const Datapack& p : packs)
      if (keep(p)) out.insert(p.pack_id);
    return out;
  };
  const auto ids = [](const std::vector<Datapack>& found) {
    std::set<std::string> out;
    for (const Datapack& p : found) CHECK(out.insert(p.pack_id).second);  // none twice
    return out;
  };
  const auto all = exported("");
  CHECK(ids(all) == expected([](const Datapack&) { return true; }));
  CHECK(std::is_sorted(all.begin(), all.end(), [](const Datapack& a, const Datapack& b) {
    return a.provenance.start_unix_ns < b.provenance.start_unix_ns;
  }));
  CHECK(ids(exported("--bucket negative --min-trust 0.5 --task drawer_vase")) == expected([](const Datapack& p) {
          return p.bucket == Bucket::negative && p.attribution.trust_score >= 0.5 && p.task_name == "drawer_vase";
        }));
  CHECK(ids(exported("--source real --engine mujoco --robot robot-3")) == expected([](const Datapack& p) {
          return p.attribution.source_type == SourceType::real && p.condition.engine_type == "mujoco" &&
                 p.provenance.robot == "robot-3";
        }));
  const auto best = exported("--sort delta_j --limit 10");
  REQUIRE(best.size() == 10);
  CHECK(std::is_sorted(best.begin(), best.end(), [](const Datapack& a, const Datapack& b) {
    return a.attribution.delta_J > b.attribution.delta_J;
  }));
  CHECK(drover_run("packs export --sort delta_j" + at).code == 2);
  CHECK(drover_run("packs export --sort color --limit 3" + at).code == 2);
  CHECK(drover_run("packs export --source fake" + at).code == 2);
  CHECK(drover_run("packs export --with-plain" + at).code == 2);
  CHECK(drover_run("packs export --out a b" + at).code == 2);
  CHECK(drover_run("packs export --portable" + at + " " + dir.file("x.jsonl")).code == 1);  // none of them can be
}

TEST_CASE("nodes/packs: narration is for packs that have none") {
  const TempDir dir;
  Datapack told = pack_of("told", 2);
  told.sima_annotation = SimaAnnotation{};
  told.sima_annotation->instruction = "mine";
  make_store(dir.file("s"), {pack_of("silent", 3), told});
  const auto lines = lines_by_pack(drover_run("packs export --narrate --store " + dir.file("s")).text);
  CHECK(json::parse(lines.at("dp-silent"))["sima_annotation"]["sima_agent_id"] == "template_narrator_v1");
  CHECK(json::parse(lines.at("dp-told"))["sima_annotation"]["instruction"] == "mine");
}
