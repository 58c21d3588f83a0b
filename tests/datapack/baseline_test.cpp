// Baselines: the three methods, what may and may not move them, their JSON and their rules.
#include "actors/datapack/baseline.hpp"

#include <doctest/doctest.h>

#include <cstdlib>

#include "tests/support/random_values.hpp"

using namespace drover;
using namespace drover::datapack;

namespace {

BaselineRule rule_of(BaselineMethod method) {
  BaselineRule rule;
  rule.method = method;
  return rule;
}

BaselineState after(const BaselineRule& rule, const std::vector<econ::Performance>& episodes) {
  BaselineState state;
  for (const auto& episode : episodes) state = advance({rule, state}, episode);
  return state;
}

}  // namespace

TEST_CASE("datapack/baseline: ewma starts at the first episode and moves by a") {
  const auto state = after(rule_of(BaselineMethod::ewma), {{100, 0, 2.0, false}, {200, 1, 4.0, false}});
  CHECK(state.mpl_units_per_h.value == doctest::Approx(110).epsilon(1e-12));
  CHECK(state.error_rate.value == doctest::Approx(0.1).epsilon(1e-12));
  CHECK(state.ep_units_per_Wh.value == doctest::Approx(2.2).epsilon(1e-12));
  CHECK(state.episodes == 2);
}

TEST_CASE("datapack/baseline: first_n is the mean of n episodes and then stands still") {
  BaselineRule rule = rule_of(BaselineMethod::first_n);
  rule.episodes = 3;
  const std::vector<econ::Performance> three{{10, 0, 1.0, false}, {20, 0, 1.0, false}, {60, 3, 1.0, false}};
  const auto state = after(rule, three);
  CHECK(state.mpl_units_per_h.value == doctest::Approx(30).epsilon(1e-12));
  CHECK(state.error_rate.value == doctest::Approx(1).epsilon(1e-12));
  const auto later = advance({rule, state}, {1000, 9, 9.0, false});
  CHECK(later.mpl_units_per_h == state.mpl_units_per_h);
  CHECK(later.error_rate == state.error_rate);
  CHECK(later.episodes == 4);
}

TEST_CASE("datapack/baseline: fixed values never move") {
  BaselineRule rule = rule_of(BaselineMethod::fixed);
  rule.fixed = {60.0, 0.1, 2.0};
  const auto state = after(rule, {{10, 1, 1.0, false}});
  CHECK(state.episodes == 1);
  CHECK(state.mpl_units_per_h.count == 0);
  const auto resolved = resolve({rule, state}, {10, 1, 1.0, false});
  CHECK(*resolved.reference.mpl_units_per_h == 60);
  CHECK(!resolved.self_mpl);
}

TEST_CASE("datapack/baseline: an empty running baseline is the episode itself") {
  const auto r = resolve({rule_of(BaselineMethod::ewma), {}}, {50, 0.2, 1.5, false});
  CHECK(r.self_mpl);
  CHECK(r.self_error);
  CHECK(r.self_ep);
  CHECK(*r.reference.mpl_units_per_h == 50);
  CHECK(*r.reference.error_rate == 0.2);
  CHECK(*r.reference.ep_units_per_Wh == 1.5);
}

TEST_CASE("datapack/baseline: a zero never becomes or lowers a baseline that divides") {
  const auto rule = rule_of(BaselineMethod::ewma);
  const auto nothing = after(rule, {{0, 1, std::nullopt, false}, {0, 1, 0.0, false}});
  CHECK(nothing.mpl_units_per_h.count == 0);
  CHECK(nothing.ep_units_per_Wh.count == 0);
  CHECK(nothing.error_rate.count == 2);
  const auto established = after(rule, {{80, 0, 2.0, false}, {0, 1, 0.0, false}});
  CHECK(established.mpl_units_per_h.value == 80);
  CHECK(established.ep_units_per_Wh.value == 2);
}

TEST_CASE("datapack/baseline: established components stay above zero, whatever the episodes") {
  test::Rng rng(31);
  for (auto method : {BaselineMethod::ewma, BaselineMethod::first_n}) {
    BaselineState state;
    for (int i = 0; i < 3000; ++i) {
      const double mpl = test::chance(rng, 3) ? 0 : test::number(rng, 1e-6, 1e6);
      const std::optional<double> ep = test::chance(rng, 2) ? std::nullopt : std::optional(test::number(rng, 0, 10));
      state = advance({rule_of(method), state}, {mpl, test::unit(rng), ep, false});
      if (state.mpl_units_per_h.count > 0) CHECK(state.mpl_units_per_h.value > 0);
      if (state.ep_units_per_Wh.count > 0) CHECK(state.ep_units_per_Wh.value > 0);
      CHECK(state.error_rate.value >= 0);
      CHECK(state.error_rate.value <= 1);
    }
  }
}

TEST_CASE("datapack/baseline: JSON keeps every bit, so a restart in between changes nothing") {
  test::Rng rng(32);
  const auto rule = rule_of(BaselineMethod::ewma);
  BaselineState kept;
  BaselineState reread;
  for (int i = 0; i < 500; ++i) {
    const econ::Performance p{test::number(rng, 0, 1e3), test::unit(rng), test::number(rng, 0, 3), false};
    kept = advance({rule, kept}, p);
    const auto back = baseline_state_from_json(to_json(advance({rule, reread}, p)));
    REQUIRE(back);
    reread = *back;
    CHECK(reread == kept);
  }
}

TEST_CASE("datapack/baseline: the JSON form is pinned") {
  const auto state = after(rule_of(BaselineMethod::ewma), {{100, 0.5, std::nullopt, false}});
  CHECK(to_json(state) ==
        R"({"ep_units_per_Wh":{"count":0,"value":0.0},"episodes":1,"error_rate":{"count":1,"value":0.5},)"
        R"("mpl_units_per_h":{"count":1,"value":100.0},"version":1})");
}

TEST_CASE("datapack/baseline: a damaged state is refused, never guessed") {
  const std::string good = to_json(after(rule_of(BaselineMethod::ewma), {{100, 0.5, 1.0, false}}));
  for (size_t cut = 0; cut < good.size(); ++cut) CHECK(!baseline_state_from_json(good.substr(0, cut)));
  CHECK(baseline_state_from_json("[]").error().code == Errc::invalid_argument);
  CHECK(baseline_state_from_json(R"({"version":2})").error().code == Errc::unsupported_version);
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return baseline_state_from_json(text);
  };
  CHECK(replaced("100.0", "-1.0").error().where == "baseline_state.mpl_units_per_h");
  CHECK(replaced("100.0", "\"x\"").error().where == "baseline_state.mpl_units_per_h");
  CHECK(replaced("\"count\":1", "\"count\":-1").error().where == "baseline_state.ep_units_per_Wh");
  CHECK(!replaced("\"episodes\"", "\"episodez\""));
}

TEST_CASE("datapack/baseline rules: the most specific rule wins, without one it is ewma") {
  const auto rules = parse_baselines(R"(
[[baseline]]
task_name = "pick"
method = "ewma"
a = 0.3
[[baseline]]
source_kind = "ur3"
method = "ewma"
a = 0.2
[[baseline]]
method = "first_n"
episodes = 7
[[baseline]]
task_name = "pick"
source_kind = "ur3"
method = "fixed"
mpl_units_per_h = 120
error_rate = 0.0
)",
                                     "b.toml");
  REQUIRE_MESSAGE(rules, (rules ? "" : rules.error().message()));
  CHECK(rules->find("pick", "ur3").method == BaselineMethod::fixed);
  CHECK(*rules->find("pick", "ur3").fixed.mpl_units_per_h == 120);
  CHECK(rules->find("pick", "other").a == 0.3);
  CHECK(rules->find("other", "ur3").a == 0.2);
  CHECK(rules->find("other", "other").episodes == 7);
  CHECK(BaselineRules().find("x", "y").method == BaselineMethod::ewma);
  CHECK(baseline_key("pick", "ur3") == "pick\x1fur3");
}

TEST_CASE("datapack/baseline rules: every problem at once, with file, line and key") {
  const auto rules = parse_baselines(R"([[baseline]]
method = "median"
[[baseline]]
task_name = "t"
method = "fixed"
mpl_units_per_h = 0
a = 0.1
[[baseline]]
task_name = "t"
method = "ewma"
alpha = 0.2
error_rate = 0.1
)",
                                     "b.toml");
  REQUIRE(!rules);
  CHECK(rules.error().what ==
        "7 problem(s)\n"
        "b.toml:2: baseline[0].method: 'median' is not one of fixed, first_n, ewma\n"
        "b.toml:3: baseline[1].error_rate: missing, and it has no default\n"
        "b.toml:6: baseline[1].mpl_units_per_h: is 0, allowed is above 0 to 1e+12\n"
        "b.toml:7: baseline[1].a: only for method ewma\n"
        "b.toml:8: baseline[2]: repeats an earlier task_name and source_kind\n"
        "b.toml:11: baseline[2].alpha: unknown key; known here: a, ep_units_per_Wh, episodes, error_rate, method, "
        "mpl_units_per_h, source_kind, task_name\n"
        "b.toml:12: baseline[2].error_rate: only for method fixed");
}

TEST_CASE("datapack/baseline rules: the shipped file parses") {
  const char* dir = std::getenv("DROVER_SOURCE_DIR");
  if (dir == nullptr) {
    MESSAGE("skipped: DROVER_SOURCE_DIR is not set");
    return;
  }
  const auto rules = load_baselines(std::string(dir) + "/configs/baselines/default.toml");
  REQUIRE_MESSAGE(rules, (rules ? "" : rules.error().message()));
  CHECK(rules->find("any", "thing").a == 0.1);
}
