// Rollouts from templates: deterministic, covering what a batch must cover, and physically whole.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <set>
#include <string>

#include "actors/semantics/sima_template.hpp"
#include "actors/semantics/template_plan.hpp"

namespace drover::semantics {
namespace {

constexpr uint64_t batch = 100;

bool same_bytes(const LabelledRollout& a, const LabelledRollout& b) {
  const auto& f = a.rollout.frames;
  const auto& g = b.rollout.frames;
  return a.rollout.id == b.rollout.id && f.size() == g.size() &&
         a.rollout.embedding.values == b.rollout.embedding.values &&
         std::memcmp(f.data(), g.data(), f.size() * sizeof(RolloutFrame)) == 0 &&
         a.truth.segments.size() == b.truth.segments.size() && a.truth.risk == b.truth.risk;
}

}  // namespace

TEST_CASE("semantics/sima: a rollout depends on seed, family and index, and on nothing made before it") {
  TemplateConfig config;
  config.seed = 5;
  TemplateLibrary one(config), other(config);
  LabelledRollout a, b;
  other.make(Family::wipe_surface, 77, b);
  for (size_t f = 0; f < family_count; ++f) {
    one.make(static_cast<Family>(f), 33, a);
    other.make(static_cast<Family>(f), 2, b);
    other.make(static_cast<Family>(f), 33, b);
    CHECK(same_bytes(a, b));
  }
  config.seed = 6;
  TemplateLibrary third(config);
  one.make(Family::drawer_open, 0, a);
  third.make(Family::drawer_open, 0, b);
  CHECK(!same_bytes(a, b));
}

TEST_CASE(
    "semantics/sima: every batch keeps the shares and covers geometries, frictions, masses, luck and black swans") {
  TemplateConfig config;
  config.seed = 11;
  TemplateLibrary library(config);
  LabelledRollout r;
  for (size_t f = 0; f < family_count; ++f) {
    CAPTURE(family_name(static_cast<Family>(f)));
    std::array<int, 4> kinds{};
    std::set<std::string> geometries, frictions, masses, failures, recoveries;
    int lucky = 0, swans = 0, odd = 0;
    for (uint64_t i = 0; i < batch; ++i) {
      library.make(static_cast<Family>(f), i, r);
      ++kinds[static_cast<size_t>(r.truth.kind)];
      geometries.insert(r.rollout.objects[0].geometry);
      frictions.insert(r.rollout.objects[0].friction);
      masses.insert(r.rollout.objects[0].mass);
      if (!r.truth.failure.empty()) failures.insert(r.truth.failure);
      if (!r.truth.recovery.empty()) recoveries.insert(r.truth.recovery);
      lucky += r.truth.lucky;
      swans += r.truth.black_swan;
      odd += r.truth.out_of_distribution;
      CHECK(r.truth.recovered == (r.truth.kind == Template::recovery));
      CHECK((r.rollout.outcome == "failure") == (r.truth.kind == Template::failure));
    }
    CHECK(kinds == std::array<int, 4>{60, 20, 15, 5});
    CHECK(geometries.size() >= 3);
    CHECK(frictions == std::set<std::string>{"low", "medium", "high"});
    CHECK(masses == std::set<std::string>{"light", "heavy"});
    CHECK(lucky >= 1);
    CHECK(swans >= 1);
    CHECK(odd >= 1);
    for (const TroubleWords& words : troubles_of(static_cast<Family>(f))) {
      CHECK(failures.count(std::string(words.failure)) == 1);
      CHECK(recoveries.count(std::string(words.recovery)) == 1);
    }
  }
}

TEST_CASE("semantics/sima: signals are finite, at the asked rate, with power, and the truth covers the stream") {
  TemplateConfig config;
  config.seed = 12;
  config.rate_hz = 10;
  TemplateLibrary library(config);
  LabelledRollout r;
  for (size_t f = 0; f < family_count; ++f) {
    for (uint64_t i = 0; i < 20; ++i) {
      library.make(static_cast<Family>(f), i, r);
      const auto& frames = r.rollout.frames;
      REQUIRE(frames.size() > 10);
      for (size_t k = 0; k < frames.size(); ++k) {
        REQUIRE(frames[k].time_s == doctest::Approx(0.1 * static_cast<double>(k)));
        REQUIRE(std::isfinite(frames[k].tool_m[0] + frames[k].tool_m[1] + frames[k].tool_m[2]));
        for (size_t j = 0; j < r.rollout.joint_count; ++j)
          REQUIRE(std::isfinite(frames[k].joint_rad[j] + frames[k].joint_rad_per_s[j] + frames[k].joint_Nm[j]));
        REQUIRE(frames[k].power_W > 0);
      }
      const auto& truth = r.truth.segments;
      REQUIRE(truth.size() >= 3);
      CHECK(truth.front().start_s == 0);
      for (size_t k = 1; k < truth.size(); ++k) CHECK(truth[k].start_s == truth[k - 1].end_s);
      for (const TruthSegment& s : truth) CHECK((s.reason != Reason::none) == (s.outcome == Outcome::failure));
      CHECK(truth.back().end_s - frames.back().time_s < 0.1 + 1e-9);
    }
  }
}

TEST_CASE("semantics/sima: joint speeds are the slope of joint angles") {
  TemplateConfig config;
  config.noise = 0;
  config.rate_hz = 200;
  TemplateLibrary library(config);
  LabelledRollout r;
  library.make(Family::pick_and_place, 1, r);
  const auto& f = r.rollout.frames;
  double worst = 0;
  for (size_t k = 1; k + 1 < f.size(); ++k)
    for (size_t j = 0; j < r.rollout.joint_count; ++j) {
      const double slope = (f[k + 1].joint_rad[j] - f[k - 1].joint_rad[j]) / (f[k + 1].time_s - f[k - 1].time_s);
      worst = std::max(worst, std::abs(slope - static_cast<double>(f[k].joint_rad_per_s[j])));
    }
  CHECK(worst < 0.15);  // at the corners of the speed profile
}

TEST_CASE("semantics/sima: the stress mix keeps its shares") {
  StressMix mix(3);
  LabelledRollout r;
  int drawers = 0, dishes = 0, noise = 0, failed = 0, recovered = 0;
  for (uint64_t i = 0; i < 500; ++i) {
    mix.make(i, r);
    drawers += r.rollout.family == Family::drawer_open;
    dishes += r.rollout.family == Family::dish_place;
    noise += r.rollout.family == Family::other;
    failed += r.truth.kind == Template::failure;
    recovered += r.truth.recovered;
  }
  CHECK(drawers == 200);
  CHECK(dishes == 200);
  CHECK(noise == 100);
  CHECK(failed == 120);
  CHECK(recovered == 40);
}

TEST_CASE("semantics/sima: the client gives count rollouts of each family, then nothing") {
  TemplateClient client({}, {Family::drawer_open, Family::inspect_scene}, 3);
  int rollouts = 0;
  for (auto r = client.next(); r && *r; r = client.next()) {
    CHECK((**r).rollout.family == (rollouts < 3 ? Family::drawer_open : Family::inspect_scene));
    ++rollouts;
  }
  CHECK(rollouts == 6);
}

TEST_CASE("semantics/sima: a config outside its ranges is refused by the field's name") {
  TemplateConfig config;
  CHECK(validate(config));
  config.rate_hz = 5;
  REQUIRE(!validate(config));
  CHECK(validate(config).error().where == "templates.rate_hz");
  config = {};
  config.shares = {0.5, 0.2, 0.1, 0.1};
  CHECK(validate(config).error().where == "templates.shares");
  config = {};
  config.noise = std::nan("");
  CHECK(!validate(config));
}

}  // namespace drover::semantics
