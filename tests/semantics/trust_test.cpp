#include "actors/semantics/trust.hpp"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "actors/runtime/rng.hpp"
#include "actors/semantics/auditor.hpp"
#include "tests/semantics/support.hpp"

using namespace drover;
using namespace drover::semantics;

namespace {

TrustConfig shipped() {
  auto read = load_trust_config(test::config_path("trust.toml"));
  REQUIRE_MESSAGE(read, read.error().message());
  return *read;
}

uint32_t bit(TagKind kind) {
  return 1u << static_cast<unsigned>(kind);
}

const Correlation& about(const std::vector<Correlation>& answers, TagKind kind) {
  for (const Correlation& c : answers)
    if (c.claim.tag == kind) return c;
  FAIL("no such claim");
  return answers.front();
}

// Damage with probability `with` where the tag is (a fifth of the time), `without` elsewhere.
Correlator observed(int n, double with, double without, uint64_t seed = 1) {
  Correlator out(shipped().correlator);
  runtime::Rng rng(seed);
  for (int i = 0; i < n; ++i) {
    const bool tagged = rng.chance(0.2);
    const bool damage = rng.chance(tagged ? with : without);
    out.observe(fmt::format("pack-{}-{}", seed, i), tagged ? bit(TagKind::risk) : 0, {!damage, damage ? 1.0 : 0.0, 10});
  }
  return out;
}

}  // namespace

TEST_CASE("semantics/correlator: what it keeps gives the means of a scan, and an interval that holds the truth") {
  int covered = 0;
  constexpr int rounds = 60;
  for (uint64_t seed = 0; seed < rounds; ++seed) {
    const Correlator c = observed(1500, 0.3, 0.1, seed);
    const Correlation risk = about(c.answers(), TagKind::risk);
    CHECK(risk.n_with + risk.n_without == 1500);
    CHECK(risk.effect == doctest::Approx(risk.mean_with / risk.mean_without));
    CHECK(risk.low < risk.effect);
    CHECK(risk.effect < risk.high);
    covered += risk.low <= 3.0 && 3.0 <= risk.high ? 1 : 0;
  }
  CHECK(covered >= 50);  // 95 % of 60 is 57
}

TEST_CASE("semantics/correlator: neither order nor a restart changes an answer") {
  CorrelatorConfig config = shipped().correlator;
  Correlator forward(config), backward(config), restarted(config);
  for (int i = 0; i < 500; ++i)
    forward.observe(fmt::format("p{}", i), i % 3 == 0 ? bit(TagKind::risk) : 0, {i % 2 == 0, double(i % 5 == 0), 1});
  for (int i = 499; i >= 0; --i)
    backward.observe(fmt::format("p{}", i), i % 3 == 0 ? bit(TagKind::risk) : 0, {i % 2 == 0, double(i % 5 == 0), 1});
  const auto a = about(forward.answers(), TagKind::risk), b = about(backward.answers(), TagKind::risk);
  CHECK(a.effect == b.effect);
  CHECK(a.low == b.low);
  CHECK(a.high == b.high);
  REQUIRE(restarted.restore(forward.json()));
  CHECK(restarted.json() == forward.json());
  config.seed = 2;
  Correlator other(config);
  CHECK_FALSE(other.restore(forward.json()));
  forward.observe("bad", 0, {true, std::nan(""), 1});
  CHECK(forward.ignored() == 1);
  CHECK(forward.episodes() == 500);
}

TEST_CASE(
    "semantics/trust: a tag that foretells is trusted, one of half the strength is provisional, noise is not "
    "believed") {
  const TrustConfig config = shipped();
  const auto matrix = [&](const Correlator& c) { return TrustMatrix(config, c.answers()); };
  const TrustMatrix strong = matrix(observed(4000, 0.4, 0.1));
  CHECK(strong.entry(TagKind::risk).tier == TrustTier::trusted);
  CHECK(strong.rights(TagKind::risk).may_raise_safety_stop);
  CHECK(strong.rights(TagKind::risk).sampling_multiplier == 5.0);
  CHECK(strong.permits("RiskTag"));
  const TrustMatrix half = matrix(observed(4000, 0.15, 0.1));
  CHECK(half.entry(TagKind::risk).tier == TrustTier::provisional);
  CHECK(half.rights(TagKind::risk).review);
  CHECK(half.rights(TagKind::risk).sampling_multiplier == 1.5);
  const TrustMatrix against = matrix(observed(4000, 0.05, 0.1));
  CHECK(against.entry(TagKind::risk).tier == TrustTier::untrusted);
  CHECK_FALSE(against.rights(TagKind::risk).used);
  CHECK(against.rights(TagKind::risk).sampling_multiplier == 1.0);
  CHECK_FALSE(against.permits("RiskTag"));
  CHECK(against.permits(""));
  CHECK_FALSE(against.permits("NoSuchTag"));
  const TrustMatrix few = matrix(observed(40, 1.0, 0.0));
  CHECK(few.entry(TagKind::risk).tier == TrustTier::provisional);  // no evidence is not bad evidence
  CHECK(few.trust(TagKind::risk) == config.prior);
  const auto alerts = calibration_alerts(strong, against);
  REQUIRE(alerts.size() == 1);
  CHECK(alerts[0].tag == TagKind::risk);
  CHECK(calibration_alerts(against, against).empty());
  const auto again = TrustMatrix::restored(config, strong.json());
  REQUIRE(again);
  CHECK(again->json() == strong.json());
  CHECK(nlohmann::json::parse(strong.json())["tags"]["RiskTag"]["tier"] == "trusted");
}

TEST_CASE("semantics/trust: a recovery is compared with what was lost, not with what never failed") {
  Correlator c(shipped().correlator);
  for (int i = 0; i < 300; ++i) {
    c.observe(fmt::format("clean-{}", i), 0, {true, 0, 100});
    c.observe(fmt::format("saved-{}", i), bit(TagKind::recovery) | failure_bit, {true, 0, 60});
    c.observe(fmt::format("lost-{}", i), failure_bit, {false, 0, 0});
  }
  const Correlation recovery = about(c.answers(), TagKind::recovery);
  CHECK(recovery.n_without == 300);
  CHECK(recovery.effect == doctest::Approx(60));
  CHECK(TrustMatrix(shipped(), c.answers()).entry(TagKind::recovery).tier == TrustTier::trusted);
}

TEST_CASE("semantics/auditor: quality falls with tags that are not believed") {
  TagSet tags;
  tags.risk.push_back({Level::high, 0.7, "vase", "fast", 0});
  const TrustConfig config = shipped();
  const Audit good = audit(tags, 0.8, TrustMatrix(config, observed(4000, 0.4, 0.1).answers()));
  CHECK(good.quality == 0.8);
  CHECK(good.sampling_multiplier == 5.0);
  CHECK_FALSE(good.review);
  const Audit bad = audit(tags, 0.8, TrustMatrix(config, observed(4000, 0.05, 0.1).answers()));
  CHECK(bad.quality == doctest::Approx(0.4));
  CHECK(bad.untrusted_share == 1.0);
  CHECK(bad.sampling_multiplier == 1.0);
}

TEST_CASE("semantics/trust: a bad file names every problem") {
  const auto read = parse_trust_config(
      "trusted_above = 0.4\n[[claim]]\ntag = \"MoodTag\"\nmetric = \"joy\"\ncompare = \"ratio\"\n[[claim]]\ntag = "
      "\"RiskTag\"\n"
      "metric = \"damage\"\ncompare = \"ratio\"\ntarget = 0.5\n",
      "t.toml");
  REQUIRE_FALSE(read);
  for (const char* part : {"provisional_above", "is not a kind of tag", "must be damage, mpl or success", "wrong side"})
    CHECK_MESSAGE(read.error().what.find(part) != std::string::npos, part, " in ", read.error().what);
}
