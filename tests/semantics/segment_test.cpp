// The segmenter: against the truth on batches it was not tuned on, blind to labels, whole under damage.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <sstream>

#include "actors/runtime/rng.hpp"
#include "actors/semantics/segment_score.hpp"
#include "actors/semantics/segmenter.hpp"
#include "actors/semantics/sima_template.hpp"

namespace drover::semantics {
namespace {

bool equal(const Segment& a, const Segment& b) {
  return a.id == b.id && a.label == b.label && a.outcome == b.outcome && a.reason == b.reason && a.object == b.object &&
         a.retry_of == b.retry_of && a.start_s == b.start_s && a.end_s == b.end_s && a.confidence == b.confidence &&
         a.first_frame == b.first_frame && a.frame_count == b.frame_count &&
         std::memcmp(&a.metrics, &b.metrics, sizeof a.metrics) == 0;
}

bool equal(const std::vector<Segment>& a, const std::vector<Segment>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (!equal(a[i], b[i])) return false;
  return true;
}

std::vector<Segment> segments_of(const Rollout& rollout) {
  Segmenter segmenter({});
  std::vector<Segment> out;
  segment_rollout(segmenter, rollout, out);
  return out;
}

void check_invariants(const std::vector<Segment>& segments) {
  for (size_t i = 0; i < segments.size(); ++i) {
    const Segment& s = segments[i];
    REQUIRE(s.id == i);
    REQUIRE(s.start_s < s.end_s);
    if (i > 0) REQUIRE(s.start_s == segments[i - 1].end_s);
    REQUIRE((s.reason != Reason::none) == (s.outcome == Outcome::failure));
    const bool repairs = s.outcome == Outcome::retry || s.outcome == Outcome::recovered;
    REQUIRE((s.retry_of != no_segment) == repairs);
    if (repairs) {
      REQUIRE(s.retry_of < i);
      REQUIRE(segments[s.retry_of].outcome == Outcome::failure);
    }
    REQUIRE(s.confidence >= 0);
    REQUIRE(s.confidence <= 1);
    REQUIRE(std::isfinite(s.metrics.distance_m + s.metrics.force_N_max + s.metrics.energy_Wh + s.metrics.duration_s));
  }
}

struct Batch {
  uint64_t seed;
  double rate_hz, noise;
};

}  // namespace

TEST_CASE("semantics/segment: boundaries and labels on template batches of other seeds, rates and noise") {
  for (const Batch& batch : {Batch{90001, 20, 1}, Batch{90002, 10, 1}, Batch{90003, 50, 1}, Batch{90004, 20, 1.7}}) {
    CAPTURE(batch.rate_hz);
    CAPTURE(batch.noise);
    TemplateConfig config;
    config.seed = batch.seed;
    config.rate_hz = batch.rate_hz;
    config.noise = batch.noise;
    TemplateLibrary library(config);
    Segmenter segmenter({});
    SegmentScore score;
    LabelledRollout r;
    std::vector<Segment> found;
    for (size_t f = 0; f < family_count; ++f)
      for (uint64_t i = 0; i < 40; ++i) {
        library.make(static_cast<Family>(f), i, r);
        segment_rollout(segmenter, r.rollout, found);
        check_invariants(found);
        score.add(r.truth.segments, found);
      }
    MESSAGE("boundary F1 " << score.boundary_f1() << ", labels " << score.label_accuracy() << ", failures "
                           << score.failure_recall() << "/" << score.failure_precision() << ", repairs "
                           << score.repair_recall() << "/" << score.repair_precision());
    CHECK(score.boundary_f1() >= 0.95);
    CHECK(score.label_accuracy() >= 0.95);
    CHECK(score.failure_recall() >= 0.95);
    CHECK(score.failure_precision() >= 0.95);
    CHECK(score.repair_recall() >= 0.85);
    CHECK(score.repair_precision() >= 0.95);
  }
}

TEST_CASE("semantics/segment: failures are named by what physics saw") {
  TemplateConfig config;
  config.seed = 90005;
  config.shares = {0, 1, 0, 0};
  TemplateLibrary library(config);
  LabelledRollout r;
  int right = 0, all = 0;
  for (size_t f = 0; f < family_count; ++f)
    for (uint64_t i = 0; i < 20; ++i) {
      library.make(static_cast<Family>(f), i, r);
      const auto found = segments_of(r.rollout);
      for (const TruthSegment& t : r.truth.segments) {
        if (t.outcome != Outcome::failure) continue;
        ++all;
        for (const Segment& s : found)
          if (s.outcome == Outcome::failure && s.reason == t.reason && s.start_s < t.end_s && s.end_s > t.start_s) {
            ++right;
            break;
          }
      }
    }
  CHECK(all > 200);
  CHECK(right >= 0.95 * all);
}

TEST_CASE("semantics/segment: labels, names and outcomes that a client gives change nothing") {
  TemplateConfig config;
  config.seed = 90006;
  TemplateLibrary library(config);
  LabelledRollout r;
  for (size_t f = 0; f < family_count; ++f)
    for (uint64_t i = 0; i < 20; ++i) {
      library.make(static_cast<Family>(f), i, r);
      const auto plain = segments_of(r.rollout);
      r.rollout.id = "\xff\xfe not utf-8";
      r.rollout.robot = "somebody";
      r.rollout.task_name = "pull";
      r.rollout.family = Family::other;
      r.rollout.source = RolloutSource::real_log;
      r.rollout.outcome = "unknown";
      r.rollout.world.clear();
      r.rollout.rate_hz = 1;
      r.rollout.embedding = {};
      for (ObjectInfo& object : r.rollout.objects) {
        object.name = object.category = object.geometry = "grasp";
        object.friction = object.mass = "";
      }
      CHECK(equal(plain, segments_of(r.rollout)));
    }
}

TEST_CASE("semantics/segment: frame by frame gives the same as all at once, and nothing is taken back") {
  LabelledRollout r;
  TemplateLibrary library({});
  library.make(Family::drawer_open, 3, r);
  const auto whole = segments_of(r.rollout);
  Segmenter segmenter({});
  segmenter.begin(shape_of(r.rollout));
  std::vector<Segment> streamed;
  for (const RolloutFrame& frame : r.rollout.frames) {
    const std::vector<Segment> before = streamed;
    segmenter.push(frame, streamed);
    REQUIRE(equal(before, {streamed.begin(), streamed.begin() + static_cast<std::ptrdiff_t>(before.size())}));
  }
  segmenter.finish(streamed);
  CHECK(equal(whole, streamed));
}

TEST_CASE("semantics/segment: one segmenter used again forgets the stream before") {
  TemplateLibrary library({});
  LabelledRollout a, b;
  library.make(Family::sort_objects, 1, a);
  library.make(Family::wipe_surface, 2, b);
  Segmenter segmenter({});
  std::vector<Segment> out;
  segment_rollout(segmenter, a.rollout, out);
  segment_rollout(segmenter, b.rollout, out);
  CHECK(equal(out, segments_of(b.rollout)));
}

TEST_CASE("semantics/segment: empty, single, frozen and broken streams") {
  LabelledRollout r;
  TemplateLibrary library({});
  library.make(Family::pick_and_place, 2, r);
  Rollout broken = r.rollout;
  SUBCASE("no frames, no segments") {
    broken.frames.clear();
    CHECK(segments_of(broken).empty());
  }
  SUBCASE("one frame is one segment") {
    broken.frames.resize(1);
    const auto found = segments_of(broken);
    CHECK(found.size() == 1);
    check_invariants(found);
  }
  SUBCASE("no signals at all") {
    broken.signals = 0;
    check_invariants(segments_of(broken));
  }
  SUBCASE("times far in the future only shift the result") {
    for (RolloutFrame& frame : broken.frames) frame.time_s += 4e6;
    const auto found = segments_of(broken), plain = segments_of(r.rollout);
    check_invariants(found);
    REQUIRE(found.size() == plain.size());
    for (size_t i = 0; i < found.size(); ++i) CHECK(found[i].label == plain[i].label);
  }
  SUBCASE("frames that are not numbers, or step back, are dropped") {
    Segmenter segmenter({});
    std::vector<Segment> out;
    for (size_t i = 5; i < broken.frames.size(); i += 9) {
      RolloutFrame bad = broken.frames[i];
      if (i % 2 == 0) bad.joint_rad_per_s[2] = std::numeric_limits<float>::quiet_NaN();
      if (i % 2 == 1) bad.time_s = broken.frames[i - 3].time_s;
      broken.frames.insert(broken.frames.begin() + static_cast<std::ptrdiff_t>(i), bad);
    }
    segment_rollout(segmenter, broken, out);
    CHECK(segmenter.dropped_frames() > 5);
    check_invariants(out);
  }
}

TEST_CASE("semantics/segment: any garbage gives whole segments") {
  runtime::Rng rng(17);
  for (int round = 0; round < 200; ++round) {
    CAPTURE(round);
    Rollout r;
    r.signals = static_cast<uint32_t>(rng.below(512));
    r.joint_count = static_cast<uint32_t>(rng.below(20));
    r.objects.resize(rng.below(9));
    for (ObjectInfo& o : r.objects) o.slides = rng.chance(0.3);
    double time_s = rng.uniform();
    for (int i = 0; i < 400; ++i) {
      RolloutFrame frame;
      time_s += rng.chance(0.02) ? 5 : 0.05 * rng.uniform();
      auto* bytes = reinterpret_cast<unsigned char*>(&frame);
      if (rng.chance(0.3))
        for (size_t b = 0; b < sizeof frame; ++b) bytes[b] = static_cast<unsigned char>(rng.next());
      frame.time_s = time_s;
      r.frames.push_back(frame);
    }
    check_invariants(segments_of(r));
  }
}

TEST_CASE("semantics/segment: a very long stream keeps its memory and its sense") {
  LabelledRollout r;
  TemplateLibrary library({});
  library.make(Family::sort_objects, 0, r);
  Segmenter segmenter({});
  segmenter.begin(shape_of(r.rollout));
  std::vector<Segment> out;
  size_t segments = 0, most = 0;
  const double length_s = r.rollout.frames.back().time_s + 0.05;
  for (int round = 0; round < 1000; ++round) {
    for (RolloutFrame frame : r.rollout.frames) {
      frame.time_s += round * length_s;
      segmenter.push(frame, out);
    }
    most = std::max(most, out.size());
    segments += out.size();
    out.clear();
  }
  CHECK(segments > 1000 * 5);
  CHECK(most < 64);
}

TEST_CASE("semantics/segment: the shipped thresholds are the defaults; problems come all at once") {
  const char* source = std::getenv("DROVER_SOURCE_DIR");
  if (source != nullptr) {
    std::ifstream file(std::string(source) + "/configs/semantics/segmentation.toml");
    std::stringstream text;
    text << file.rdbuf();
    const auto config = parse_segmenter_config(text.str(), "segmentation.toml");
    REQUIRE(config);
    const SegmenterConfig defaults;
    CHECK(std::memcmp(&*config, &defaults, sizeof defaults) == 0);
  }
  const auto bad = parse_segmenter_config("spike_N = -1\nslip = 3\nidle_speed_m_per_s = 1\n", "x.toml");
  REQUIRE(!bad);
  CHECK(bad.error().what.find("x.toml:1: spike_N") != std::string::npos);
  CHECK(bad.error().what.find("slip") != std::string::npos);
  CHECK(bad.error().what.find("contact_speed_m_per_s") != std::string::npos);
  CHECK(!parse_segmenter_config("spike_N = [", "x.toml"));
}

TEST_CASE("semantics/segment: names and enums agree") {
  for (size_t i = 0; i < label_count; ++i)
    CHECK(label_from(label_name(static_cast<Label>(i))) == static_cast<Label>(i));
  for (size_t i = 0; i < reason_count; ++i)
    CHECK(reason_from(reason_name(static_cast<Reason>(i))) == static_cast<Reason>(i));
  CHECK(!label_from("wave"));
  CHECK(segment_key("r", 7) == "r/7");
}

}  // namespace drover::semantics
