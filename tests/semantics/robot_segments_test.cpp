// Segments that a robot finds while it captures: the record, damage to it, and what the centre makes of it.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <random>

#include "actors/capture/generate.hpp"
#include "actors/capture/source.hpp"
#include "actors/capture/value.hpp"
#include "actors/robot/mujoco_world.hpp"
#include "actors/robot/recorded_episode.hpp"
#include "actors/robot/script.hpp"
#include "actors/semantics/log_frames.hpp"
#include "actors/semantics/robot_segmenter.hpp"
#include "tests/semantics/centre.hpp"

namespace drover::semantics {
namespace {

using test::Centre;
using test::must;

std::string source_dir() {
  const char* folder = std::getenv("DROVER_SOURCE_DIR");
  return folder != nullptr ? folder : ".";
}

std::shared_ptr<const RobotSegmenterRules> rules() {
  static const auto shipped = must(load_robot_segmenter_rules(test::config_path("")));
  return shipped;
}

struct Captured {
  capture::CapturedEpisode episode;
  std::shared_ptr<const capture::Mapping> mapping;
  Datapack pack;
  Bytes recording;
};

// Records one hard drawer_vase episode without pictures and captures it.
Captured captured_episode(uint64_t seed) {
  static const auto worlds = must(robot::MujocoWorlds::load(source_dir() + "/configs/worlds/drawer_vase"));
  static const auto graph = must(robot::SkillGraph::load(source_dir() + "/configs/worlds/drawer_vase/skills.toml"));
  const test::TempFolder folder;
  auto world = must(worlds.make());
  robot::ScriptedSkills script(graph);
  robot::RecordingOptions options;
  options.folder = folder / "";
  options.robot = "robot-a";
  options.frames_hz = 0;
  robot::RecordedRequest request;
  request.name = "e";
  request.seed = seed;
  request.condition_set = "hard";
  request.start_unix_ns = 1'700'000'000'000'000'000 + static_cast<int64_t>(seed) * 60'000'000'000;
  auto run = must(robot::RecordedEpisode::begin(*world, script, options, request));
  while (must(run->step())) {
  }
  must(run->finish());
  const std::string path = folder / ("e" + std::string(capture::recording_suffix));
  auto file = must(mcap::file_source(path));
  Captured out;
  out.recording = must(file->read(0, file->size()));
  const auto memory = mcap::memory_source(out.recording);
  out.mapping = must(capture::choose_mapping("e.mcap", memory, {}));
  capture::CaptureOptions capture_options;
  capture_options.robot = "robot-a";
  auto source = must(capture::open_log("e.mcap", memory, {}, capture_options));
  out.episode = std::move(*must(source->next()));
  const datapack::BaselineState none;
  out.pack =
      must(capture::value_episode(out.episode, {}, {datapack::BaselineRules{}.find("drawer_vase", ""), none}, {})).pack;
  return out;
}

const Captured& an_episode() {
  static const Captured episode = captured_episode(7006);  // locked, shaken loose, opened
  return episode;
}

Enrichment record_of(const Captured& c) {
  RobotSegmenter segmenter(rules());
  auto said = must(segmenter.annotate(c.episode, *c.mapping, c.pack));
  REQUIRE(said.record);
  return std::move(*said.record);
}

void send(Centre& centre, const std::vector<std::vector<std::pair<RecordKind, Bytes>>>& blocks) {
  REQUIRE(centre.store->open_stream({"robot-a", 1}, 1));
  for (const auto& records : blocks) {
    BlockBuilder block(centre.next["robot-a"] + 1);
    for (const auto& [kind, payload] : records) {
      REQUIRE(block.add(kind, record_schema_current, 7'000'000, payload));
      ++centre.next["robot-a"];
    }
    const storage::Incoming incoming[] = {{"robot-a", 1, must(Block::parse(block.finish())), 1}};
    REQUIRE(must(centre.store->append(incoming)).front().status == storage::AppendStatus::ok);
  }
}

struct Learnt {
  std::unique_ptr<CentralSemantics> centre;
  uint64_t segmented = 0;
};

Learnt learn(Centre& centre) {
  Learnt out{centre.open()};
  for (bool more = true; more;) {
    const CentralProgress step = must(out.centre->step(*centre.store));
    out.segmented += step.segmented;
    more = step.more;
  }
  return out;
}

}  // namespace

TEST_CASE("semantics/robot: an episode's record says what the segmenter finds in its recording, and reads back") {
  const Captured& c = an_episode();
  const Enrichment record = record_of(c);
  CHECK(record.pack_id == c.pack.pack_id);
  CHECK(record.source == robot_segmenter_source);
  CHECK(record.tags_json.size() < 8192);
  const EpisodeSegments read = must(parse_segments(record.tags_json));
  CHECK(read.episode.id == c.episode.header.episode_id);
  CHECK(read.episode.task_name == "drawer_vase");
  CHECK(read.found == read.segments.size());
  const Rollout frames = must(rollout_from_recording(mcap::memory_source(c.recording)));
  CHECK(read.frames == frames.frames.size());
  Segmenter segmenter(rules()->segmenter);
  std::vector<Segment> found;
  segment_rollout(segmenter, frames, found);
  REQUIRE(found.size() == read.segments.size());
  for (size_t i = 0; i < found.size(); ++i) {
    CHECK(read.segments[i].label == found[i].label);
    CHECK(read.segments[i].outcome == found[i].outcome);
    CHECK(read.segments[i].reason == found[i].reason);
    CHECK(read.segments[i].object == found[i].object);
    CHECK(read.segments[i].retry_of == found[i].retry_of);
    CHECK(read.segments[i].start_s == doctest::Approx(found[i].start_s).epsilon(1e-6));
    CHECK(read.segments[i].metrics.energy_Wh == doctest::Approx(found[i].metrics.energy_Wh));
  }
  CHECK(std::any_of(read.near_m.begin(), read.near_m.end(), [](const auto& near) { return near[1] > 0; }));
  // A hand that shakes when the recording begins closes on nothing: it comes, then it grasps.
  const auto grasp = std::find_if(found.begin(), found.end(), [](const Segment& s) { return s.label == Label::grasp; });
  REQUIRE(grasp != found.begin());
  REQUIRE(grasp != found.end());
  CHECK((grasp - 1)->label == Label::approach);
  CHECK(grasp->end_s - grasp->start_s < 1);
  // What was read is written as it was.
  CHECK(segments_json(read) == record.tags_json);
}

TEST_CASE("semantics/robot: equal episodes give equal records, before and after a restart") {
  RobotSegmenter calm(rules());
  std::string state;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const Captured c = captured_episode(seed);
    RobotSegmenter restarted(rules());
    if (!state.empty()) REQUIRE(restarted.restore(state));
    const auto a = must(calm.annotate(c.episode, *c.mapping, c.pack));
    const auto b = must(restarted.annotate(c.episode, *c.mapping, c.pack));
    REQUIRE(a.record);
    CHECK(*a.record == *b.record);
    const auto calm_state = calm.state();
    REQUIRE(calm_state);
    CHECK(calm_state == restarted.state());
    CHECK(!calm.state());  // unchanged since
    state = *calm_state;
  }
  RobotSegmenter damaged(rules());
  CHECK(!damaged.restore(state.substr(0, state.size() / 2)));
}

// Captures a file twice, with a segmenter that hears its source and with one that reads the slices.
struct Told {
  uint64_t episodes = 0, records = 0, heard = 0;
};
Told check_heard(const std::string& name, const Bytes& content, uint64_t first_ordinal = 0) {
  static const auto mappings = must(capture::load_mappings(source_dir() + "/configs/mappings"));
  const auto file = mcap::memory_source(content);
  const auto mapping = capture::choose_mapping(name, file, mappings);
  if (!mapping) return {};
  RobotSegmenter hears(rules()), reads(rules());
  FrameListener frames;
  const auto open = [&](capture::SourceListener* listener) {
    capture::CaptureOptions options;
    options.robot = "robot-a";
    options.first_ordinal = first_ordinal;
    options.listener = listener;
    return capture::open_log(name, file, {}, *mapping, options);
  };
  const auto source = open(hears.listener()), again = open(&frames);
  REQUIRE(source.has_value() == again.has_value());
  if (!source) return {};
  const datapack::BaselineState none;
  Told told;
  while (const auto episode = must((*source)->next())) {
    ++told.episodes;
    REQUIRE(must((*again)->next()));
    const auto heard = frames.take(*episode, **mapping);
    told.heard += heard.has_value();
    if (heard) CHECK(heard->id == episode->header.episode_id);
    const auto valued = must(capture::value_episode(
        *episode, {}, {datapack::BaselineRules{}.find(episode->header.task_name, ""), none}, {}));
    const auto a = hears.annotate(*episode, **mapping, valued.pack),
               b = reads.annotate(*episode, **mapping, valued.pack);
    REQUIRE(a.has_value() == b.has_value());
    if (!a) continue;
    CHECK(a->record == b->record);
    CHECK(hears.state() == reads.state());
    told.records += a->record.has_value();
  }
  return told;
}

TEST_CASE("semantics/robot: what is heard while a log is decoded gives the very record that its slices give") {
  for (const uint64_t seed : {1u, 7006u}) {
    const Captured c = captured_episode(seed);
    const Told whole = check_heard("e.mcap", c.recording);
    CHECK(whole.records == 1);
    CHECK(whole.heard == 1);
    const Told cut = check_heard("e.mcap", c.recording.slice(0, c.recording.size() / 2));
    CHECK(cut.records == 1);
    CHECK(cut.heard == 0);
  }
  for (const auto& log : {must(capture::generate_ur3({})), must(capture::generate_ur3e({}))}) {
    const Told whole = check_heard(log.name, Bytes::copy_of(log.content));
    CHECK(whole.episodes == log.episodes);
    CHECK(whole.records == log.episodes);
    CHECK(whole.heard == log.episodes);
    const Told rest = check_heard(log.name, Bytes::copy_of(log.content), 5);
    CHECK(rest.heard == log.episodes - 5);
  }
  const auto bag = must(capture::generate_ros2({}));
  CHECK(check_heard(bag.name, Bytes::copy_of(bag.content)).heard == 0);
}

TEST_CASE("semantics/robot: the same of logs with lines that are cut, swapped, blank, torn or full of bit flips") {
  const uint64_t seed = 20261122;
  MESSAGE("seed " << seed);
  std::mt19937_64 random(seed);
  Told sum;
  for (const auto& log : {must(capture::generate_ur3({})), must(capture::generate_ur3e({1, 4}))}) {
    for (int i = 0; i < 40; ++i) {
      std::string text = log.content;
      const size_t head = text.find('\n', text.find('\n') + 1);
      for (uint64_t k = random() % 12; k-- > 0;) {
        const size_t at = head + random() % (text.size() - head);
        const size_t line = text.rfind('\n', at) + 1, end = std::min(text.find('\n', at), text.size() - 1);
        switch (random() % 5) {
          case 0:
            text[at] ^= static_cast<char>(1 << random() % 8);
            break;
          case 1:
            text.erase(at, random() % 60);
            break;
          case 2:  // the line once more, later
            text.insert(text.rfind('\n', head + random() % (text.size() - head)) + 1,
                        text.substr(line, end + 1 - line));
            break;
          case 3:
            text.insert(line, std::string("\n;;;\n\n"));
            break;
          default:
            text.insert(at, 1, random() % 2 == 0 ? '"' : ',');
        }
      }
      if (i % 4 == 0) text.resize(head + random() % (text.size() - head));
      const Told told = check_heard(log.name, Bytes::copy_of(text));
      sum.episodes += told.episodes;
      sum.records += told.records;
      sum.heard += told.heard;
    }
  }
  MESSAGE(sum.episodes << " episodes, " << sum.records << " records, " << sum.heard << " heard");
  CHECK(sum.records > 300);
  CHECK(sum.heard > 300);
}

TEST_CASE("semantics/robot: a record that is cut or damaged is refused, or still holds what a record promises") {
  const std::string whole = record_of(an_episode()).tags_json;
  std::mt19937_64 random(20261121);
  for (int i = 0; i < 400; ++i) {
    CHECK(!parse_segments(std::string_view(whole).substr(0, random() % whole.size())));
    std::string flipped = whole;
    for (int k = 0; k < 3; ++k) flipped[random() % flipped.size()] ^= static_cast<char>(1 << random() % 8);
    const auto read = parse_segments(flipped);
    if (!read) continue;
    for (size_t s = 0; s < read->segments.size(); ++s) {
      const Segment& segment = read->segments[s];
      CHECK(segment.id == s);
      CHECK(segment.start_s < segment.end_s);
      CHECK((segment.object == no_object || segment.object < read->episode.objects.size()));
      CHECK((segment.retry_of == no_segment || segment.retry_of < s));
      CHECK((segment.reason != Reason::none) == (segment.outcome == Outcome::failure));
    }
  }
  CHECK(parse_segments("{}").error().code == Errc::corrupt);
  CHECK(parse_segments(R"({"format":"drover.segments.v9"})").error().code == Errc::unsupported_version);
  CHECK(parse_segments(std::string(segments_bytes_max + 1, ' ')).error().code == Errc::too_large);
}

TEST_CASE("semantics/robot: the centre learns from the robot's segments where there are any, else from the datapack") {
  const Captured& c = an_episode();
  const Bytes said = encode(record_of(c)), pack = encode(c.pack);
  Centre with, apart, without, of_another, damaged;
  send(with, {{{RecordKind::enrichment, said}, {RecordKind::datapack, pack}}});
  send(apart, {{{RecordKind::enrichment, said}}, {{RecordKind::datapack, pack}}});
  send(without, {{{RecordKind::datapack, pack}}});
  Enrichment other = record_of(c);
  other.pack_id = "another";
  send(of_another, {{{RecordKind::enrichment, encode(other)}, {RecordKind::datapack, pack}}});
  other.pack_id = c.pack.pack_id;
  other.tags_json.resize(other.tags_json.size() / 2);
  send(damaged, {{{RecordKind::enrichment, encode(other)}, {RecordKind::datapack, pack}}});
  const Learnt a = learn(with), b = learn(apart), trace = learn(without), d = learn(of_another), e = learn(damaged);
  CHECK(a.segmented == 1);
  CHECK(b.segmented == 1);  // in a block before that of the datapack
  CHECK(trace.segmented == 0);
  CHECK(d.segmented == 0);
  CHECK(e.segmented == 0);
  const auto acts = [](const Learnt& learnt) { return learnt.centre->pipeline().metrics().primitives; };
  CHECK(a.centre->pipeline().metrics().episodes == 1);
  CHECK(acts(a) == must(parse_segments(record_of(c).tags_json)).segments.size());
  CHECK(acts(trace) == analysis_of_datapack(c.pack, test::vocabulary()).facts.actions.size());
  // The same knowledge in one block or in two; a record that cannot be read is as if it were not there.
  CHECK(a.centre->pipeline().save() == b.centre->pipeline().save());
  CHECK(a.centre->pipeline().save() != trace.centre->pipeline().save());
  CHECK(d.centre->pipeline().save() == trace.centre->pipeline().save());
  CHECK(e.centre->pipeline().save() == trace.centre->pipeline().save());
  // The store takes the robot's record as any other, and nothing of it is rejected.
  const auto applied = must(with.store->apply({"robot-a", 1}, 64u << 20));
  CHECK(applied.records == 2);
  CHECK(applied.rejected == 0);
}

TEST_CASE("semantics/robot: joint states of a ROS 2 bag are enough to tell moves from rests") {
  const auto mappings = must(capture::load_mappings(source_dir() + "/configs/mappings"));
  const auto log = must(capture::generate_ros2({}));
  const auto file = mcap::memory_source(Bytes::copy_of(log.content));
  const auto mapping = must(capture::choose_mapping(log.name, file, mappings));
  REQUIRE(mapping->format == capture::LogFormat::mcap);
  capture::CaptureOptions options;
  options.robot = "robot-a";
  auto source = must(capture::open_log(log.name, file, mappings, options));
  RobotSegmenter segmenter(rules());
  const datapack::BaselineState none;
  uint64_t episodes = 0, moves = 0, rests = 0;
  while (const auto episode = must(source->next())) {
    ++episodes;
    const Rollout rollout = must(rollout_from_log(*episode, *mapping));
    REQUIRE(rollout.frames.size() > 10);
    CHECK(rollout.joint_count >= 6);
    CHECK((rollout.signals & (signal_joints | signal_torque)) == (signal_joints | signal_torque));
    CHECK(rollout.rate_hz == doctest::Approx(50).epsilon(0.1));
    const auto valued =
        must(capture::value_episode(*episode, {}, {datapack::BaselineRules{}.find("ros2_recording", ""), none}, {}));
    const EpisodeSegments read =
        must(parse_segments(must(segmenter.annotate(*episode, *mapping, valued.pack)).record.value().tags_json));
    for (const Segment& s : read.segments) {
      moves += s.label == Label::transport;
      rests += s.label == Label::idle;
    }
    // Bytes from outside: cut anywhere, frames before the cut or none.
    capture::CapturedEpisode cut = *episode;
    cut.slice = episode->slice.slice(0, episode->slice.size() / 2);
    const auto part = rollout_from_log(cut, *mapping);
    CHECK((!part || part->frames.size() <= rollout.frames.size()));
  }
  CHECK(episodes == log.episodes);
  CHECK(moves > 0);
  MESSAGE(episodes << " episodes, " << moves << " moves, " << rests << " rests");
}

// Counted from the file with a dozen lines of Python: 108 protective stops and 77 lost grips.
TEST_CASE("semantics/robot: stops and lost grips of the real log travel as failures, and what follows as recoveries") {
  const char* data = std::getenv("DROVER_SHARED_DATA");
  const std::string path = std::string(data != nullptr ? data : "") + "/ur3_cobotops/dataset_02052023.csv";
  if (data == nullptr || !std::filesystem::exists(path)) {
    MESSAGE("skipped: no shared data");
    return;
  }
  const auto mappings = must(capture::load_mappings(source_dir() + "/configs/mappings"));
  const auto file = must(mcap::file_source(path));
  const auto mapping = must(capture::choose_mapping("dataset_02052023.csv", file, mappings));
  capture::CaptureOptions options;
  options.robot = "robot-a";
  auto source = must(capture::open_log("dataset_02052023.csv", file, mappings, options));
  RobotSegmenter segmenter(rules());
  uint64_t episodes = 0, stops = 0, lost = 0, recovered = 0, told = 0;
  const datapack::BaselineState none;
  while (const auto episode = must(source->next())) {
    ++episodes;
    const auto valued =
        must(capture::value_episode(*episode, {}, {datapack::BaselineRules{}.find("ur3_cycle", ""), none}, {}));
    const auto said = must(segmenter.annotate(*episode, *mapping, valued.pack));
    REQUIRE(said.record);
    const EpisodeSegments read = must(parse_segments(said.record->tags_json));
    for (const Segment& s : read.segments) {
      stops += is_anomaly(s.label) && s.reason == Reason::protective_stop;
      lost += is_anomaly(s.label) && s.reason == Reason::grip_lost;
      recovered += s.label == Label::recovery_maneuver && s.outcome == Outcome::recovered;
    }
    told += std::any_of(read.words.begin(), read.words.end(), [](const auto& w) { return w.starts_with("recovery:"); });
  }
  CHECK(episodes > 0);
  CHECK(stops == 108);
  CHECK(lost >= 76);  // one is followed by a stop at once
  CHECK(recovered == 139);
  CHECK(told > 0);
}

}  // namespace drover::semantics
