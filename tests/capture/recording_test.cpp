// Recordings: what was told comes back, exactly; the file is a good ROS 2 MCAP; every cut is a labelled prefix.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "actors/capture/recording_json.hpp"
#include "actors/capture/value.hpp"
#include "actors/datapack/captured_facts.hpp"
#include "storage/mcap/ros2.hpp"
#include "storage/mcap/writer.hpp"
#include "tests/capture/recording_support.hpp"
#include "tests/capture/support.hpp"

namespace drover::capture::test {
namespace {

constexpr uint64_t seed = 20250611;

Result<std::unique_ptr<LogSource>> open_anyhow(std::string_view content) {
  return open_log("recording.mcap", memory(content), shipped_mappings(), {"robot-01"});
}

double sum(const std::map<std::string, double>& parts) {
  double out = 0;
  for (const auto& [name, v] : parts) out += v;
  return out;
}

datapack::EpisodeFacts facts(const CapturedEpisode& episode) {
  return datapack::facts_of(episode);
}

}  // namespace

TEST_CASE("capture/recording: everything that was told comes back") {
  Told told;
  const std::string content = sample_recording({}, &told);
  Keeper keeper;
  const auto report = read_recording(memory(content), keeper);
  REQUIRE(report);
  CHECK(!report->damage);
  CHECK(report->ended);
  CHECK(report->unreadable == 0);
  CHECK(keeper.told.start == told.start);
  REQUIRE(keeper.told.images.size() == told.images.size());
  for (size_t i = 0; i < told.images.size(); ++i) {
    CHECK(keeper.told.images[i].first == doctest::Approx(told.images[i].first).epsilon(1e-9));
    CHECK(keeper.told.images[i].second == told.images[i].second);
  }
  CHECK(keeper.told.events == told.events);
  CHECK(keeper.told.skills == told.skills);
  CHECK(keeper.told.energy == told.energy);
  CHECK(keeper.told.end == told.end);
  CHECK(keeper.told.object_samples == told.object_samples);
  CHECK(keeper.told.sense_samples == told.sense_samples);
  CHECK(keeper.told.contact_samples == told.contact_samples);
  REQUIRE(keeper.told.joints.size() == told.joints.size());
  for (size_t i = 0; i < told.joints.size(); ++i) {
    CHECK(keeper.told.joints[i].first == doctest::Approx(told.joints[i].first).epsilon(1e-9));
    CHECK(keeper.told.joints[i].second == told.joints[i].second);
  }
}

TEST_CASE("capture/recording: equal calls give equal bytes") {
  CHECK(sample_recording({.seed = 5}) == sample_recording({.seed = 5}));
  CHECK(sample_recording({.seed = 5}) != sample_recording({.seed = 6}));
}

TEST_CASE("capture/recording: the file is one that ROS 2 tools read") {
  const std::string content = sample_recording();
  std::map<std::string, uint64_t> last_ns;
  std::set<std::string> types;
  size_t decoded = 0;
  mcap::MessageQuery query;
  query.order = mcap::Order::file;
  const auto report = mcap::read_messages(memory(content), query, {}, [&](const mcap::ReadMessage& m) {
    REQUIRE(m.schema != nullptr);
    types.insert(m.schema->name);
    CHECK(m.message.log_time_ns >= last_ns[m.channel->topic]);
    last_ns[m.channel->topic] = m.message.log_time_ns;
    if (m.schema->encoding == "ros2msg") {
      CHECK(m.channel->message_encoding == "cdr");
      const auto values = mcap::decode_ros2(m.schema->name, m.schema->data.text(), m.message.data);
      CHECK_MESSAGE(values.has_value(), (values ? "" : values.error().message()));
      ++decoded;
    } else {
      CHECK(m.schema->encoding == "jsonschema");
      CHECK(m.channel->message_encoding == "json");
    }
    return true;
  });
  CHECK(!report.damage);
  CHECK(decoded > 400);
  for (const char* type :
       {"sensor_msgs/msg/JointState", "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/CameraInfo",
        "tf2_msgs/msg/TFMessage", "rcl_interfaces/msg/Log", "std_msgs/msg/String", "std_msgs/msg/Float64",
        "drover.Episode", "drover.Energy", "drover.Skill"})
    CHECK_MESSAGE(types.contains(type), type);
  const auto summary = mcap::read_summary(*memory(content));
  REQUIRE(summary);
  CHECK(summary->chunks.size() >= 8);  // one each half second
}

TEST_CASE("capture/recording: transforms are seen from their parent") {
  const std::string content = sample_recording({.duration_s = 0.2});
  bool seen = false;
  mcap::MessageQuery query;
  query.topics = {"/tf"};
  mcap::read_messages(memory(content), query, {}, [&](const mcap::ReadMessage& m) {
    const auto values = mcap::decode_ros2(m.schema->name, m.schema->data.text(), m.message.data);
    REQUIRE(values);
    CHECK(std::get<std::string>(values->at("transforms[1].header.frame_id")) == "base");
    CHECK(std::get<std::string>(values->at("transforms[1].child_frame_id")) == "hand");
    CHECK(std::get<double>(values->at("transforms[1].transform.translation.z")) == doctest::Approx(0.4));
    CHECK(std::get<double>(values->at("transforms[1].transform.rotation.w")) == doctest::Approx(std::sqrt(0.5)));
    CHECK(std::get<double>(values->at("transforms[1].transform.rotation.z")) == doctest::Approx(std::sqrt(0.5)));
    seen = true;
    return true;
  });
  CHECK(seen);
}

TEST_CASE("capture/recording: a recorder says what is wrong with what it is told") {
  mcap::MemorySink sink;
  Told told;
  sample_recording({.duration_s = 0.1}, &told);
  RecordingStart start = told.start;
  start.joints.push_back(start.joints.front());
  CHECK(Recorder::open(sink, start).error().code == Errc::invalid_argument);
  start = told.start;
  start.cameras[0].name = "../x";
  CHECK(Recorder::open(sink, start).error().code == Errc::invalid_argument);
  auto recorder = Recorder::open(sink, told.start);
  REQUIRE(recorder);
  Recorder& r = **recorder;
  const std::vector<double> six(6, 0.0), seven(7, 0.0), odd(7, std::nan(""));
  CHECK(r.joints(0, {six, seven, seven, seven}).error().code == Errc::invalid_argument);
  CHECK(r.joints(0, {odd, seven, seven, seven}).error().code == Errc::invalid_argument);
  CHECK(r.joints(-1, {seven, seven, seven, seven}).error().code == Errc::invalid_argument);
  CHECK(r.image(0, "back", as_bytes("12345678")).error().code == Errc::invalid_argument);
  CHECK(r.event({0, "", "info", ""}).error().code == Errc::invalid_argument);
  CHECK(r.energy(0, {}).has_value());
  CHECK(r.energy(0, {0, 0, {}, {1}, {}}).error().code == Errc::invalid_argument);
  CHECK(r.skill_end({0, "A", "", "skill", 2, 1, "success", ""}).error().code == Errc::invalid_argument);
  CHECK(r.finish({.duration_s = 1}, {}).has_value());
  CHECK(r.joints(1, {seven, seven, seven, seven}).error().code == Errc::refused);
}

TEST_CASE("capture/recording: a sink that fails is told on every call") {
  class Full final : public mcap::Sink {
   public:
    Status append(ByteView bytes) override {
      if (left_ < bytes.size()) return fail(Errc::disk_full, "sink", "full");
      left_ -= bytes.size();
      return {};
    }
    size_t left_ = 20'000;
  } sink;
  Told told;
  sample_recording({.duration_s = 0.1}, &told);
  auto recorder = Recorder::open(sink, told.start);
  REQUIRE(recorder);
  Status last;
  for (int i = 0; i < 2000 && last; ++i)
    last = (*recorder)->event({0.01 * i, "event_" + std::to_string(i), "info", ""});
  REQUIRE(!last);
  CHECK(last.error().code == Errc::disk_full);
  CHECK((*recorder)->finish({.duration_s = 30}, {}).error().code == Errc::disk_full);
}

TEST_CASE("capture/recording: a file becomes one episode with exact facts") {
  Told told;
  const std::string content = sample_recording({}, &told);
  const Log log = read_log("e1.mcap", content);
  CHECK(log.report.kind == "drover_recording");
  REQUIRE(log.episodes.size() == 1);
  const CapturedEpisode& e = log.episodes[0];
  CHECK(validate(e.header).has_value());
  CHECK(e.slice.text() == content);
  CHECK(e.header.complete);
  CHECK(e.header.outcome == "recovered");
  CHECK(e.header.engine_type == "mujoco");
  CHECK(e.source_type == SourceType::synthetic);
  CHECK(e.units == 1);
  CHECK(e.duration_s == told.end.duration_s);
  CHECK(e.steps.size() == told.skills.size());
  for (size_t i = 0; i < e.steps.size(); ++i) {
    CHECK(e.steps[i].start_s == told.skills[i].start_s);
    CHECK(e.steps[i].end_s == told.skills[i].end_s);
    CHECK(e.steps[i].outcome == told.skills[i].outcome);
  }
  const RecordedEnergy& spent = told.energy.back().second;
  CHECK(e.energy.total_J == spent.total.mechanical);
  CHECK(*e.energy.copper_loss_J == spent.total.copper);
  for (const auto* parts :
       {&e.energy.per_joint_J, &e.energy.per_skill_J, &e.energy.per_limb_J, &e.energy.per_effector_J})
    CHECK(std::abs(sum(*parts) - e.energy.total_J) <= 1e-9 * e.energy.total_J);
  CHECK(e.energy.per_skill_J.contains("GRASP_HANDLE"));
  CHECK(e.energy.per_skill_J.contains("unattributed"));
  REQUIRE(e.header.events.size() == told.events.size());
  for (size_t i = 1; i < e.header.events.size(); ++i)
    CHECK(e.header.events[i].time_unix_ns >= e.header.events[i - 1].time_unix_ns);
  CHECK(e.portable.complete());
  const datapack::EpisodeFacts f = facts(e);
  CHECK(f.vase_offset_m == std::vector<double>{0.0123, -0.02, 0});
  CHECK(f.drawer_friction == 7.5);
  CHECK(f.lighting_profile == "dim");
  CHECK(f.occlusion_level == 0.25);
  CHECK(f.condition_tags.at("template") == "recovered");
  CHECK(f.condition_tags.at("handle") == "knob");
  CHECK(f.energy.coordination.at("copper_loss_J") == spent.total.copper);
  CHECK(read_log("e1.mcap", content, *choose_mapping("e1.mcap", memory(content), shipped_mappings()), 1)
            .episodes.empty());
}

TEST_CASE("capture/recording: it becomes a portable datapack") {
  const Log log = read_log("e1.mcap", sample_recording());
  const econ::EconPreset preset;
  const datapack::BaselineState state;
  const datapack::Baseline baseline{datapack::BaselineRules{}.find("drawer_vase", "world_drawer_vase"), state};
  const auto valued = value_episode(log.episodes.at(0), {}, baseline, preset);
  REQUIRE_MESSAGE(valued, (valued ? "" : valued.error().message()));
  CHECK(valued->pack.schema_version == schema_version_portable);
  CHECK(datapack::check_portable(valued->pack).has_value());
  CHECK(valued->pack.raw_data_path.empty());
  CHECK(valued->pack.energy.per_limb.contains("shoulder"));
  CHECK(valued->pack.energy.per_effector.contains("gripper"));
  CHECK(valued->pack.condition.drawer_friction == 7.5);
}

TEST_CASE("capture/recording: the examples of RECORDING.md read") {
  const std::string page = read_file(source_dir() + "/actors/capture/RECORDING.md");
  const size_t begin = page.find("```json\n") + 8;
  const std::string block = page.substr(begin, page.find("```", begin) - begin);
  std::vector<std::string> examples(1);
  for (int depth = 0; const char c : block) {
    examples.back() += c;
    depth += c == '{' ? 1 : c == '}' ? -1 : 0;
    if (depth == 0 && c == '}') examples.emplace_back();
  }
  REQUIRE(examples.size() == 6);  // the last is what stands behind the last brace
  CHECK(recording_json::read_start(examples[0])->condition.numbers.at("drawer_friction_N") == 7.5);
  CHECK(recording_json::read_end(examples[1])->state_hash == 0xfedcba9876543210);
  CHECK(recording_json::read_skill(examples[2])->skill.end_s == 4.44);
  CHECK(recording_json::read_event(examples[3])->kind == "vase_contact");
  CHECK(recording_json::read_energy(examples[4], 1)->value.total.mechanical == 0.5);
}

TEST_CASE("capture/recording: stopped from outside is labelled so") {
  const Log log = read_log("e1.mcap", sample_recording({.complete = false}));
  const CapturedEpisode& e = log.episodes.at(0);
  CHECK(!e.header.complete);
  CHECK(e.header.outcome == "unknown");
  CHECK(e.units == 0);
  CHECK(!log.report.damage);
  CHECK(facts(e).condition_tags.at("complete") == "false");
}

TEST_CASE("capture/recording: cut at 200 random bytes gives a labelled prefix or a reason") {
  MESSAGE("seed " << seed);
  uint64_t state = seed;
  Told told;
  const std::string content = sample_recording({}, &told);
  const Log whole = read_log("e1.mcap", content);
  size_t prefixes = 0;
  for (int i = 0; i < 200; ++i) {
    const auto at = static_cast<size_t>(random_below(state, content.size()));
    CAPTURE(at);
    const std::string_view head = std::string_view(content).substr(0, at);
    auto source = open_anyhow(head);
    if (!source) {
      CHECK(!source.error().what.empty());
      continue;
    }
    auto episode = (*source)->next();
    REQUIRE(episode);
    CHECK((*source)->report().damage);
    if (!*episode) {
      CHECK(at < 4096);  // not even the first chunk
      continue;
    }
    ++prefixes;
    const CapturedEpisode& e = **episode;
    CHECK(!(*source)->next().value());
    CHECK(validate(e.header).has_value());
    CHECK(!e.header.notes.empty());
    CHECK(e.energy.total_J <= whole.episodes[0].energy.total_J);
    CHECK(e.duration_s <= whole.episodes[0].duration_s);
    // Only what holds the end facts counts as whole.
    CHECK(e.header.complete == (e.duration_s == told.end.duration_s && e.header.outcome == "recovered"));
    // Of the energy exactly what the last sample says.
    bool known = e.energy.total_J == 0;
    for (const auto& [t, energy] : told.energy) known = known || energy.total.mechanical == e.energy.total_J;
    CHECK(known);
    CHECK(e.energy.integrated_s + e.energy.not_integrated_s == doctest::Approx(e.duration_s).epsilon(1e-6));
    // Its slice is a whole file with the same messages, and is read as the same prefix.
    const Log again = read_log("slice.mcap", e.slice.text());
    CHECK(!again.report.damage);
    CHECK(again.report.rows == e.header.rows);
    CHECK(again.episodes.at(0).energy.total_J == e.energy.total_J);
    CHECK(again.episodes.at(0).header.complete == e.header.complete);
  }
  CHECK(prefixes > 150);
}

TEST_CASE("capture/recording: at most half a second is lost behind a cut") {
  Told told;
  const std::string content = sample_recording({.with_end = false}, &told);
  const Log log = read_log("e1.mcap", content);
  CHECK(log.episodes.at(0).duration_s >= told.joints.back().first - 0.5);
}

TEST_CASE("capture/recording: flipped bits never crash") {
  MESSAGE("seed " << seed);
  uint64_t state = seed;
  const std::string content = sample_recording({.duration_s = 2});
  for (int i = 0; i < 200; ++i) {
    std::string flipped = content;
    for (int k = 0; k < 3; ++k) {
      const auto at = static_cast<size_t>(random_below(state, flipped.size()));
      flipped[at] = static_cast<char>(flipped[at] ^ (1 << random_below(state, 8)));
    }
    auto source = open_anyhow(flipped);
    if (!source) continue;
    auto episode = (*source)->next();
    if (episode && *episode) CHECK(validate((*episode)->header).has_value());
  }
}

TEST_CASE("capture/recording: messages of any content inside sound chunks never crash") {
  // CRCs keep damage out of the messages, not malice: every message is changed, and the file written anew.
  MESSAGE("seed " << seed);
  uint64_t state = seed;
  const std::string content = sample_recording({.duration_s = 1});
  for (int round = 0; round < 40; ++round) {
    mcap::MemorySink sink;
    auto writer = mcap::Writer::open(sink, {.profile = "ros2", .library = "drover recorder 1"});
    REQUIRE(writer);
    mcap::RecordReader reader(memory(content));
    size_t count = 0;
    while (auto item = reader.next()) {
      if (const auto* s = std::get_if<mcap::Schema>(&item->record)) REQUIRE(writer->add_schema(*s));
      if (const auto* c = std::get_if<mcap::Channel>(&item->record)) REQUIRE(writer->add_channel(*c));
      auto* m = std::get_if<mcap::Message>(&item->record);
      if (m == nullptr) continue;
      std::string data(m->data.text());
      if (count++ > 0 || round % 4 == 0)  // the start facts are mostly left alone
        for (int k = 0; k < 2 && !data.empty(); ++k)
          data[random_below(state, data.size())] = static_cast<char>(random_below(state, 256));
      if (random_below(state, 5) == 0) data.resize(random_below(state, data.size() + 1));
      const uint64_t time_ns = random_below(state, 10) == 0 ? state : m->publish_time_ns;
      REQUIRE(writer->write(mcap::Message{m->channel_id, m->sequence, m->log_time_ns, time_ns, Bytes::copy_of(data)}));
    }
    REQUIRE(writer->close());
    auto source = open_anyhow(sink.content());
    if (!source) continue;
    auto episode = (*source)->next();
    if (episode && *episode) CHECK(validate((*episode)->header).has_value());
  }
}

}  // namespace drover::capture::test
