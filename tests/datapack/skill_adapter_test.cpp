// The skill adapter on sets of packs whose answers can be counted by hand, and its independence of order.
#include "actors/datapack/skill_adapter.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "tests/support/random_values.hpp"

using namespace drover;
using namespace drover::datapack;

namespace {

SkillSample sample(const std::string& id, double delta_j, std::vector<SkillUse> uses,
                   std::vector<std::string> conditions = {}) {
  SkillSample s;
  s.pack_id = id;
  s.delta_j = delta_j;
  s.bucket = delta_j >= 0 ? Bucket::positive : Bucket::negative;
  s.trust = 1;
  s.w_econ = 2;
  s.uses = std::move(uses);
  s.conditions = std::move(conditions);
  s.place = {0, 0};
  if (delta_j < 0) s.counterfactual_json = "{\"kind\":\"slower\"}";
  return s;
}

const std::vector<SkillSample> few{
    sample("a", 0.5, {{1, 0, 2, "success"}, {2, 2, 3, "success"}, {3, 3, 4, "success"}}, {"friction:low"}),
    sample("b", 0.3, {{1, 0, 4, "success"}, {2, 4, 5, "recovered"}}, {"friction:low"}),
    sample("c", -0.4, {{1, 0, 3, "success"}, {2, 3, 6, "failure"}}, {"friction:high"}),
    sample("d", -0.8, {{1, 0, 3, "failure"}}, {"friction:high"}),
};

}  // namespace

TEST_CASE("datapack/skill_adapter: statistics of all skills at once") {
  const auto all = skill_statistics(few);
  REQUIRE(all.size() == 3);
  const SkillStatistics& one = all.at(1);
  CHECK(one.packs == 4);
  CHECK(one.uses == 4);
  CHECK(one.success_rate == doctest::Approx(0.75));
  CHECK(one.failure_rate == doctest::Approx(0.25));
  CHECK(one.delta_j_mean == doctest::Approx(-0.1));
  CHECK(one.duration_s_mean == doctest::Approx(3.0));
  CHECK(one.w_econ_mean == doctest::Approx(2.0));
  CHECK(all.at(2).successes == 2);  // a recovered use succeeded in the end
  CHECK(all.at(2).recovered == 1);
  CHECK(all.at(3).delta_j_std == doctest::Approx(0));
  CHECK(skill_statistics({}).empty());
}

TEST_CASE("datapack/skill_adapter: failure modes come worst first, with what to do instead") {
  const auto modes = failure_modes(few, 1, 10);
  REQUIRE(modes.size() == 2);
  CHECK(modes[0].failed_skills == std::vector<int64_t>{1});
  CHECK(modes[0].worst_pack == "d");
  CHECK(modes[0].delta_j_mean == doctest::Approx(-0.8));
  CHECK(modes[0].counterfactual_json == "{\"kind\":\"slower\"}");
  CHECK(modes[1].failed_skills == std::vector<int64_t>{2});
  CHECK(failure_modes(few, 3, 10).empty());  // its only pack went well
  CHECK(failure_modes(few, 1, 1).size() == 1);
}

TEST_CASE("datapack/skill_adapter: runs of skills are counted once a pack") {
  auto packs = few;
  packs.push_back(sample("e", 0.1, {{1, 0, 1, "success"}, {2, 1, 2, "success"}, {1, 2, 3, "success"}, {2, 3, 4, ""}}));
  const auto patterns = sequence_patterns(packs, 2, 3, 10);
  REQUIRE(!patterns.empty());
  CHECK(patterns[0].skills == std::vector<int64_t>{1, 2});
  CHECK(patterns[0].packs == 4);
  CHECK(patterns[0].positive_rate == doctest::Approx(0.75));
  for (const auto& p : patterns) CHECK(p.skills.size() <= 3);
}

TEST_CASE("datapack/skill_adapter: pairs are near in condition, apart in outcome, and use no pack twice") {
  auto packs = few;
  packs[0].place = {0, 0};
  packs[1].place = {10, 0};
  packs[2].place = {9, 0};
  packs[3].place = {100, 0};
  const auto pairs = contrastive_pairs(packs, 0.2, 10);
  REQUIRE(pairs.size() == 1);  // d is near nobody
  CHECK(pairs[0].positive == "b");
  CHECK(pairs[0].negative == "c");
  CHECK(pairs[0].gap == doctest::Approx(0.7));
  CHECK(pairs[0].distance == doctest::Approx(1.0 / 127));
  const auto wide = contrastive_pairs(packs, 2, 10);
  REQUIRE(wide.size() == 2);
  CHECK(wide[1].positive == "a");
  CHECK(wide[1].negative == "d");
}

TEST_CASE("datapack/skill_adapter: levels are equal parts, easiest first") {
  std::vector<SkillSample> packs;
  for (int i = 0; i < 40; ++i) {  // where the place is larger, more goes wrong
    auto s = sample(test::labelled("p", static_cast<uint64_t>(100 + i)), i % 40 < 20 ? 0.5 : (i % 2 == 0 ? 0.2 : -0.5),
                    {{1, 0, 1, "success"}});
    s.place = {static_cast<int8_t>(3 * i), 0};
    packs.push_back(s);
  }
  const auto levels = curriculum_levels(packs, 4);
  REQUIRE(levels.size() == 4);
  std::set<std::string> seen;
  for (size_t i = 0; i < 4; ++i) {
    CHECK(levels[i].packs.size() == 10);
    seen.insert(levels[i].packs.begin(), levels[i].packs.end());
    CHECK(levels[i].difficulty_low <= levels[i].difficulty_high);
    if (i > 0) CHECK(levels[i - 1].difficulty_high <= levels[i].difficulty_low);
  }
  CHECK(seen.size() == 40);
  CHECK(levels[0].positive_rate == 1);
  CHECK(levels[3].difficulty_high > 0.3);
  CHECK(curriculum_levels({}, 3).size() == 3);
}

TEST_CASE("datapack/skill_adapter: value by condition, and skills for conditions") {
  const auto cells = value_matrix(few);
  const auto at = [&](int64_t skill, const std::string& condition) {
    const auto found = std::find_if(cells.begin(), cells.end(), [&](const ValueCell& c) {
      return c.skill_id == skill && c.condition == condition;
    });
    REQUIRE(found != cells.end());
    return *found;
  };
  CHECK(at(1, "friction:low").value_mean == doctest::Approx(0.8));
  CHECK(at(1, "friction:high").success_rate == doctest::Approx(0.5));
  CHECK(at(1, "friction:high").value_mean == doctest::Approx(-1.2));
  const auto low = recommend_skills(few, {"friction:low"}, 10);
  REQUIRE(low.size() == 3);
  CHECK(low[0].skill_id == 3);  // only ever used where all went well
  const auto high = recommend_skills(few, {"friction:high"}, 10);
  const auto score = [&](const auto& list, int64_t skill) {
    return std::find_if(list.begin(), list.end(), [&](const auto& r) { return r.skill_id == skill; })->score;
  };
  CHECK(score(high, 1) < score(low, 1));
  CHECK(score(high, 3) == doctest::Approx(1.0));  // no pack matches: judged by all
  const auto uses = training_data(few, 2, 10);
  REQUIRE(uses.size() == 3);
  CHECK(uses[0].pack_id == "a");
  CHECK(uses[0].weight == 2);
}

TEST_CASE("datapack/skill_adapter: answers do not depend on the order of packs") {
  test::Rng rng(5);
  std::vector<SkillSample> samples;
  for (int i = 0; i < 150; ++i) {
    Datapack p = test::random_datapack(rng);
    p.pack_id = test::labelled("pack-", static_cast<uint64_t>(i));
    p.condition.vase_offset_m = {0.01 * static_cast<double>(test::below(rng, 5)), 0, 0};
    samples.push_back(skill_sample(p));
  }
  const auto fingerprint = [](const std::vector<SkillSample>& s) {
    std::string out;
    const auto number = [&](double v) { out += std::to_string(v) + " "; };
    for (const auto& [id, stats] : skill_statistics(s)) {
      number(static_cast<double>(id));
      number(stats.delta_j_mean * 1e12);
    }
    for (const auto& m : failure_modes(s, 1, 20)) out += m.worst_pack + " ";
    for (const auto& p : contrastive_pairs(s, 0.5, 50)) out += p.positive + "/" + p.negative + " ";
    for (const auto& l : curriculum_levels(s, 5))
      for (const auto& id : l.packs) out += id + " ";
    for (const auto& c : value_matrix(s)) number(c.value_mean * 1e12);
    for (const auto& r : recommend_skills(s, {}, 20)) number(r.score * 1e12);
    for (const auto& u : training_data(s, 2, 50)) out += u.pack_id + " ";
    for (const auto& p : sequence_patterns(s, 2, 4, 50)) number(p.delta_j_mean * 1e12);
    return out;
  };
  const std::string first = fingerprint(samples);
  for (int round = 0; round < 3; ++round) {
    std::shuffle(samples.begin(), samples.end(), rng);
    CHECK(fingerprint(samples) == first);
  }
}

TEST_CASE("datapack/skill_adapter: conditions in words") {
  Datapack p;
  p.condition.drawer_friction = 7;
  p.condition.occlusion_level = 0.5;
  p.condition.vase_offset_m = {0.05, 0, 0};
  p.condition.tags_json = R"({"floor":"wet","n":3,"template":"failure","complete":"false"})";
  const auto tags = condition_tags(p);
  CHECK(std::is_sorted(tags.begin(), tags.end()));
  for (const char* tag : {"friction:high", "occlusion:medium", "offset:far", "floor:wet", "n:3", "engine:real"})
    CHECK(std::find(tags.begin(), tags.end(), tag) != tags.end());
  for (const std::string& tag : tags) {  // how it ended is no condition
    CHECK(!tag.starts_with("template:"));
    CHECK(!tag.starts_with("complete:"));
  }
}
